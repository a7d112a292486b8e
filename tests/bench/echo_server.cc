#include "tests/bench/echo_server.h"

#include <grpcpp/server_builder.h>
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "prefork/v1/task_service.grpc.pb.h"

namespace prefork::bench {
namespace {

// Reads while it writes; one write in flight, and the next batch is answered when it is done.
class EchoStream : public grpc::ServerBidiReactor<v1::SessionRequest, v1::SessionResponse> {
 public:
  EchoStream() { StartRead(&request_); }

  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    v1::EventBatch* batch = response_.mutable_events();
    batch->clear_events();
    for (const v1::SubmitItem& item : request_.submit().items()) {
      v1::TaskEvent* event = batch->add_events();
      event->set_task_id(++last_task_id_);
      event->set_tag(item.tag());
      v1::TaskResult* result = event->mutable_finished();
      result->set_state(v1::TASK_STATE_SUCCEEDED);
      result->set_value(item.payload());
      result->set_value_bytes(item.payload().size());
    }
    StartWrite(&response_);
  }
  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::CANCELLED);
    StartRead(&request_);
  }
  void OnDone() override { delete this; }

 private:
  uint64_t last_task_id_ = uint64_t{1} << 52;  // as large as the daemon's
  v1::SessionRequest request_;
  v1::SessionResponse response_;
};

class EchoService : public v1::TaskService::CallbackService {
  grpc::ServerBidiReactor<v1::SessionRequest, v1::SessionResponse>* Session(
      grpc::CallbackServerContext* /*context*/) override {
    return new EchoStream();
  }
};

}  // namespace

int RunEchoServer(const std::string& socket) {
  EchoService service;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix:" + socket, grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  builder.SetMaxReceiveMessageSize(-1);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return 1;
  std::puts("ready");
  std::fflush(stdout);
  char byte;
  while (read(STDIN_FILENO, &byte, 1) > 0) {
  }
  server->Shutdown();
  return 0;
}

}  // namespace prefork::bench
