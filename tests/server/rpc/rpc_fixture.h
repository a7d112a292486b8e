#ifndef PREFORK_TESTS_SERVER_RPC_RPC_FIXTURE_H_
#define PREFORK_TESTS_SERVER_RPC_RPC_FIXTURE_H_

#include <memory>
#include <optional>
#include <string>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/channel.h"
#include "grpcpp/support/status.h"
#include "gtest/gtest.h"
#include "prefork/v1/pool_service.grpc.pb.h"
#include "prefork/v1/task_service.grpc.pb.h"
#include "server/rpc/peer_registry.h"
#include "server/rpc/server.h"
#include "tests/server/rpc/fake_engine.h"

namespace prefork::rpc {

class FakeControl final : public DaemonControl {
 public:
  void RequestShutdown(bool now, std::optional<absl::Duration> drain_timeout) override {
    requested = true;
    this->now = now;
    this->drain_timeout = drain_timeout;
  }
  bool requested = false;
  bool now = false;
  std::optional<absl::Duration> drain_timeout;
};

// The real server over a fake engine; clients come through socket pairs.
class RpcTest : public ::testing::Test {
 protected:
  explicit RpcTest(absl::Duration upload_idle_timeout = absl::Minutes(1));
  ~RpcTest() override;

  // A client's channel of its own connection.
  std::shared_ptr<grpc::Channel> Connect(const engine::Caller& caller = {.uid = 1000,
                                                                         .privileged = true});
  // The other end of a connection that the server serves.
  os::Fd ConnectRaw();

  // A client that gives up before the test's own timeout would hide where it hung.
  static std::unique_ptr<grpc::ClientContext> Context();

  FakeEngine engine_;
  FakeControl control_;
  PeerRegistry peers_;
  std::unique_ptr<Server> server_;
};

// The details of an error; fails the test when there are none.
google::rpc::Status DetailsOf(const grpc::Status& status);
// The first detail of type T.
template <typename T>
std::optional<T> DetailOf(const grpc::Status& status) {
  const google::rpc::Status details = DetailsOf(status);
  for (const google::protobuf::Any& any : details.details()) {
    T detail;
    if (any.UnpackTo(&detail)) return detail;
  }
  return std::nullopt;
}

}  // namespace prefork::rpc

#endif  // PREFORK_TESTS_SERVER_RPC_RPC_FIXTURE_H_
