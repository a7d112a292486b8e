#ifndef PREFORK_SERVER_RPC_UPLOAD_CALL_H_
#define PREFORK_SERVER_RPC_UPLOAD_CALL_H_

#include <atomic>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"
#include "prefork/v1/task_service.pb.h"
#include "server/engine/engine.h"
#include "server/rpc/call_counter.h"
#include "server/rpc/idle_timer.h"
#include "server/rpc/payload_assembler.h"
#include "server/rpc/rpc_context.h"

namespace prefork::rpc {

// The reactor of UploadTask: a spec, then its payload in chunks. What has come lives on gRPC's side
// until it is complete; only then does the engine hear of the task. Keeps itself alive until OnDone.
class UploadCall final : public grpc::ServerReadReactor<grpc::ByteBuffer>,
                         public std::enable_shared_from_this<UploadCall> {
 public:
  // `response` is gRPC's and valid until OnDone.
  static grpc::ServerReadReactor<grpc::ByteBuffer>* Begin(const RpcContext& rpc,
                                                          grpc::CallbackServerContext* context,
                                                          grpc::ByteBuffer* response);
  UploadCall(const RpcContext& rpc, const engine::Caller& caller, grpc::ByteBuffer* response)
      : rpc_(rpc), caller_(caller), response_(response), open_(rpc.calls) {}
  UploadCall(const UploadCall&) = delete;
  UploadCall& operator=(const UploadCall&) = delete;
  ~UploadCall() override = default;

 private:
  void OnReadDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  absl::Status TakeMessage();
  absl::Status TakeSpec(v1::TaskSpec* spec, uint64_t payload_bytes);
  void Submit();
  void Fail(const absl::Status& status);

  const RpcContext& rpc_;
  const engine::Caller caller_;
  grpc::ByteBuffer* const response_;
  std::atomic<bool> finished_{false};
  std::shared_ptr<IdleTimer> idle_timer_;  // null for a call that was refused
  // Of the read reactions, one at a time.
  grpc::ByteBuffer inbound_;
  v1::UploadTaskRequest request_;
  engine::TaskSubmission submission_;
  std::optional<PayloadAssembler> payload_;  // set once the spec has come
  const CallCounter::Token open_;
  std::shared_ptr<UploadCall> self_;
};

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_UPLOAD_CALL_H_
