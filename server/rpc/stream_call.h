#ifndef PREFORK_SERVER_RPC_STREAM_CALL_H_
#define PREFORK_SERVER_RPC_STREAM_CALL_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"
#include "server/engine/engine.h"
#include "server/rpc/call_counter.h"
#include "server/rpc/message_io.h"
#include "server/rpc/peer_registry.h"
#include "server/rpc/rpc_context.h"

namespace prefork::rpc {

// The reactor of a call that streams messages to its client, as far as all of them are alike: who
// lives how long, one write in flight, one Finish. It keeps itself alive until OnDone. What derived
// classes see runs on the engine's thread.
class StreamCall : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                   public std::enable_shared_from_this<StreamCall> {
 public:
  StreamCall(const StreamCall&) = delete;
  StreamCall& operator=(const StreamCall&) = delete;

  // Takes the first reference and posts OnStart to the engine. For the service, once, on gRPC's thread.
  grpc::ServerWriteReactor<grpc::ByteBuffer>* Begin();

 protected:
  StreamCall(const RpcContext& rpc, const engine::Caller& caller)
      : rpc_(rpc), caller_(caller), open_(rpc.calls) {}
  ~StreamCall() override = default;

  const RpcContext& rpc() const { return rpc_; }
  const engine::Caller& caller() const { return caller_; }
  engine::Engine& engine() const { return *rpc_.engine; }

  bool writing() const { return writing_; }
  bool ended() const { return end_.has_value(); }
  // Sends the messages, in order; OnWritten follows. REQUIRES: neither writing nor ended, not empty.
  void Write(std::vector<grpc::ByteBuffer> messages);
  // Ends the call once what is being written is through. The first status counts. OnEnd has run when
  // this returns.
  void End(const absl::Status& status);
  // End, but not from within a call of the engine, which may be walking over its sinks.
  void EndSoon(const absl::Status& status);

  virtual void OnStart() = 0;
  // All of the last Write has been taken. Not called after End.
  virtual void OnWritten() = 0;
  // Gives back what the engine holds for this call. Runs once.
  virtual void OnEnd() {}

 private:
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;
  void WriteNext();
  void WritesDone(bool ok);

  const RpcContext& rpc_;
  const engine::Caller caller_;
  // Engine thread.
  bool writing_ = false;
  std::optional<absl::Status> end_;
  // Of the engine's thread while !writing_, else of the write's reactions.
  std::vector<grpc::ByteBuffer> messages_;
  size_t next_ = 0;

  const CallCounter::Token open_;
  std::shared_ptr<StreamCall> self_;
};

// A call that is refused before it starts.
grpc::ServerWriteReactor<grpc::ByteBuffer>* RefuseStream(const RpcContext& rpc,
                                                         const absl::Status& status);

// Parses the request and begins the call that `make(caller, request)` returns, a StatusOr of a
// std::shared_ptr<StreamCall>.
template <typename Request, typename Make>
grpc::ServerWriteReactor<grpc::ByteBuffer>* ServeStream(const RpcContext& rpc,
                                                        grpc::CallbackServerContext* context,
                                                        const grpc::ByteBuffer* bytes, Make make) {
  const absl::StatusOr<engine::Caller> caller = rpc.peers->Find(context->peer());
  if (!caller.ok()) return RefuseStream(rpc, caller.status());
  Request request;
  const absl::Status parsed = ParseMessage(*bytes, &request);
  if (!parsed.ok()) return RefuseStream(rpc, parsed);
  absl::StatusOr<std::shared_ptr<StreamCall>> call = make(*caller, request);
  if (!call.ok()) return RefuseStream(rpc, call.status());
  return (*call)->Begin();
}

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_STREAM_CALL_H_
