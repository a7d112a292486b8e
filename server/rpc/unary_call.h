#ifndef PREFORK_SERVER_RPC_UNARY_CALL_H_
#define PREFORK_SERVER_RPC_UNARY_CALL_H_

#include <atomic>
#include <functional>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "google/protobuf/message.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"
#include "server/engine/engine.h"
#include "server/rpc/call_counter.h"
#include "server/rpc/message_io.h"
#include "server/rpc/peer_registry.h"
#include "server/rpc/rpc_context.h"

namespace prefork::rpc {

// The reactor of one unary call. It keeps itself alive until OnDone; closures on the engine's thread
// hold further references and may outlive the call, for then Reply and Fail do nothing.
class UnaryCall : public grpc::ServerUnaryReactor, public std::enable_shared_from_this<UnaryCall> {
 public:
  // `response` is gRPC's and valid until OnDone.
  static std::shared_ptr<UnaryCall> Begin(const RpcContext& rpc, const engine::Caller& caller,
                                          grpc::ByteBuffer* response);
  UnaryCall(const UnaryCall&) = delete;
  UnaryCall& operator=(const UnaryCall&) = delete;

  const engine::Caller& caller() const { return caller_; }
  const RpcContext& rpc() const { return rpc_; }
  engine::Engine& engine() const { return *rpc_.engine; }

  // End the call; the first one counts. Thread-safe.
  void Reply(const google::protobuf::Message& response);
  void Fail(const absl::Status& status);

  // Runs `undo` on the engine's thread when the client cancels or goes before the reply. Engine thread.
  void UndoOnCancel(std::function<void()> undo);

 protected:
  UnaryCall(const RpcContext& rpc, const engine::Caller& caller, grpc::ByteBuffer* response)
      : rpc_(rpc), caller_(caller), response_(response), open_(rpc.calls) {}
  ~UnaryCall() override = default;

 private:
  void OnCancel() override;
  void OnDone() override;

  const RpcContext& rpc_;
  const engine::Caller caller_;
  grpc::ByteBuffer* const response_;
  std::atomic<bool> finished_{false};
  bool cancelled_ = false;      // engine thread
  std::function<void()> undo_;  // engine thread
  const CallCounter::Token open_;
  std::shared_ptr<UnaryCall> self_;
};

// Parses the request and runs `handler(call, request)` on gRPC's thread; `request` is a
// std::shared_ptr<Request> of its own. Bad requests and unknown peers are answered here.
template <typename Request, typename Handler>
grpc::ServerUnaryReactor* ServeUnary(const RpcContext& rpc, grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* bytes, grpc::ByteBuffer* response,
                                     Handler handler) {
  const absl::StatusOr<engine::Caller> caller = rpc.peers->Find(context->peer());
  std::shared_ptr<UnaryCall> call =
      UnaryCall::Begin(rpc, caller.value_or(engine::Caller()), response);
  auto request = std::make_shared<Request>();
  absl::Status status = caller.status();
  if (status.ok()) status = ParseMessage(*bytes, request.get());
  if (status.ok()) {
    handler(call, std::move(request));
  } else {
    call->Fail(status);
  }
  return call.get();
}

// The same for what the engine can answer at once: `handler(call, request)` runs on the engine's
// thread and returns a StatusOr of the response.
template <typename Request, typename Handler>
grpc::ServerUnaryReactor* ServeOnEngine(const RpcContext& rpc, grpc::CallbackServerContext* context,
                                        const grpc::ByteBuffer* bytes, grpc::ByteBuffer* response,
                                        Handler handler) {
  return ServeUnary<Request>(
      rpc, context, bytes, response,
      [handler](const std::shared_ptr<UnaryCall>& call, std::shared_ptr<Request> request) {
        call->engine().Post([handler, call, request = std::move(request)] {
          auto reply = handler(*call, *request);
          if (reply.ok()) {
            call->Reply(*reply);
          } else {
            call->Fail(reply.status());
          }
        });
      });
}

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_UNARY_CALL_H_
