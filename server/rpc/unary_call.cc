// The life of a unary call:
//
//   gRPC thread    ServeUnary: parse, check ---> Post ---+          OnCancel ---> Fail, Post(undo)
//   engine thread                                        +-> work -> Reply/Fail
//   gRPC thread                                                         OnDone: drops self_
//
// Finish is called by whoever sets finished_ first, so exactly once; the others do nothing. The response
// buffer belongs to gRPC and is valid until OnDone, which never comes before Finish: only the winner
// touches it. The engine outlives the server, so every posted closure runs.
#include "server/rpc/unary_call.h"

#include "server/rpc/status_mapping.h"

namespace prefork::rpc {

std::shared_ptr<UnaryCall> UnaryCall::Begin(const RpcContext& rpc, const engine::Caller& caller,
                                            grpc::ByteBuffer* response) {
  struct Call final : UnaryCall {
    Call(const RpcContext& rpc, const engine::Caller& caller, grpc::ByteBuffer* response)
        : UnaryCall(rpc, caller, response) {}
    ~Call() override = default;
  };
  std::shared_ptr<UnaryCall> call = std::make_shared<Call>(rpc, caller, response);
  call->self_ = call;
  return call;
}

void UnaryCall::Reply(const google::protobuf::Message& response) {
  if (finished_.exchange(true)) return;
  *response_ = SerializeMessage(response);
  Finish(grpc::Status::OK);
}

void UnaryCall::Fail(const absl::Status& status) {
  if (finished_.exchange(true)) return;
  Finish(ToGrpcStatus(status));
}

void UnaryCall::UndoOnCancel(std::function<void()> undo) {
  if (cancelled_) {
    undo();
  } else {
    undo_ = std::move(undo);
  }
}

void UnaryCall::OnCancel() {
  engine().Post([call = shared_from_this()] {
    call->cancelled_ = true;
    if (call->undo_) std::exchange(call->undo_, nullptr)();
  });
  Fail(absl::CancelledError("the client cancelled the call or its deadline has passed"));
}

void UnaryCall::OnDone() { self_.reset(); }

}  // namespace prefork::rpc
