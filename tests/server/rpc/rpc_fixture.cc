#include "tests/server/rpc/rpc_fixture.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <chrono>

#include "absl/time/clock.h"
#include "common/os/check.h"
#include "common/os/pipe.h"
#include "grpcpp/create_channel_posix.h"

namespace prefork::rpc {

RpcTest::RpcTest(absl::Duration upload_idle_timeout) {
  RpcContext context;
  context.engine = &engine_;
  context.peers = &peers_;
  context.control = &control_;
  context.version = "1.2.3";
  context.addresses = {"unix:/test.sock"};
  context.upload_idle_timeout = upload_idle_timeout;
  auto server = Server::Start(context, {});
  PREFORK_CHECK(server.ok());
  server_ = *std::move(server);
}

RpcTest::~RpcTest() {
  server_->Shutdown(absl::Now() + absl::Seconds(1));
  engine_.Stop();
}

std::shared_ptr<grpc::Channel> RpcTest::Connect(const engine::Caller& caller) {
  int ends[2];
  PREFORK_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
  peers_.Register(ends[0], caller);
  server_->Serve(os::Fd(ends[0]));
  return grpc::CreateInsecureChannelFromFd("prefork", ends[1]);
}

os::Fd RpcTest::ConnectRaw() {
  int ends[2];
  PREFORK_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
  peers_.Register(ends[0], {.uid = 1000, .privileged = true});
  server_->Serve(os::Fd(ends[0]));
  PREFORK_CHECK(os::SetNonBlocking(ends[1], false).ok());
  return os::Fd(ends[1]);
}

std::unique_ptr<grpc::ClientContext> RpcTest::Context() {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  return context;
}

google::rpc::Status DetailsOf(const grpc::Status& status) {
  google::rpc::Status details;
  EXPECT_TRUE(details.ParseFromString(status.error_details()));
  EXPECT_EQ(details.code(), static_cast<int>(status.error_code()));
  EXPECT_EQ(details.message(), status.error_message());
  return details;
}

}  // namespace prefork::rpc
