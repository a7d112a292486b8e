#ifndef PREFORK_SERVER_RPC_SESSION_CALL_H_
#define PREFORK_SERVER_RPC_SESSION_CALL_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "google/protobuf/arena.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"
#include "prefork/v1/task_service.pb.h"
#include "server/engine/engine.h"
#include "server/rpc/call_counter.h"
#include "server/rpc/event_batch_writer.h"
#include "server/rpc/read_gate.h"
#include "server/rpc/rpc_context.h"
#include "server/rpc/submit_reader.h"

namespace prefork::rpc {

// The reactor of one session: submits, cancels and credit from the client, verdicts and events to it.
// The design note is in session_call.cc. Keeps itself alive until OnDone.
class SessionCall final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                          public std::enable_shared_from_this<SessionCall>,
                          private engine::EventSink {
 public:
  static grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Begin(
      const RpcContext& rpc, grpc::CallbackServerContext* context);
  SessionCall(const RpcContext& rpc, const engine::Caller& caller);
  SessionCall(const SessionCall&) = delete;
  SessionCall& operator=(const SessionCall&) = delete;
  ~SessionCall() override = default;

 private:
  // gRPC's threads.
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;
  absl::Status TakeMessage(v1::SessionRequest* request, size_t bytes);
  absl::Status TakeOpen(const v1::OpenSession& open, size_t bytes);
  absl::Status TakeSubmit(v1::SubmitBatch* batch, size_t bytes);
  absl::Status TakeCancel(const v1::CancelBatch& cancel, size_t bytes);
  // Runs `work` on the engine's thread unless the call has ended by then, and then lets the reader
  // go on if it waits for that.
  template <typename Work>
  void PostMessage(size_t bytes, Work work);
  void EndSoon(const absl::Status& status);

  // Engine thread: the sink.
  void AddAccepted(uint64_t first_tag, engine::TaskId first_id, uint64_t count) override;
  void AddRejected(uint64_t tag, const absl::Status& why) override;
  void AddEvent(uint64_t tag, const engine::EventRecord& event) override;
  void AddFinished(uint64_t tag, const engine::EventRecord& event, const engine::Bytes& value,
                   std::string_view content_type, std::string_view error,
                   const engine::ExitReport* report,
                   const std::vector<engine::ExitReport>* earlier) override;
  size_t pending_bytes() const override { return batch_.size_bytes(); }
  bool wants_events() const override { return credit_ != uint64_t{0}; }
  void Flush() override;
  bool TakesMore() override;
  void Close(const absl::Status& why) override;
  void PauseReading(bool pause) override;

  // Engine thread: the rest.
  void Open(const engine::SessionOptions& options, uint64_t initial_credit);
  // A write that nobody asks about ends without a word to the engine's thread.
  enum class Write : uint8_t { kNone, kUnderWay, kAwaited };
  // Is a write under way? If so, WriteDone follows.
  bool Writing();
  void StartWriting(const grpc::ByteBuffer& message);
  void WriteBatch();
  void WriteDone(bool ok);
  void HalfClosed();
  void EndIfAllDone();
  void End(const absl::Status& status);
  void FinishOnce();
  void SpendCredit();
  // The segment by which the client has got the value ahead of the event; 0: it has not.
  uint64_t SendValue(const engine::Bytes& value);
  void AddCredit(uint64_t events);

  const RpcContext& rpc_;
  const engine::Caller caller_;
  engine::Engine& engine_;
  ReadGate gate_;

  // Of the read reactions, one at a time.
  grpc::ByteBuffer inbound_;
  google::protobuf::Arena arena_;  // of the message at hand
  SubmitReader submit_reader_;
  bool opened_ = false;

  // Of the engine's thread.
  engine::SessionId session_ = 0;
  EventBatchWriter batch_;
  bool flush_wanted_ = false;  // batch_ is to be written
  bool half_closed_ = false;
  std::optional<absl::Status> end_;
  bool finished_ = false;
  std::optional<uint64_t> credit_;  // events the client still takes; unset: any number
  uint64_t unfinished_ = 0;         // submitted or resumed, and neither rejected nor finished

  std::string segment_token_;  // empty: values are not sent by segment
  uint64_t segment_values_over_bytes_ = 0;

  // The engine's thread begins a write, its reaction ends it; outbound_ belongs to the write.
  std::atomic<Write> write_{Write::kNone};
  grpc::ByteBuffer outbound_;

  const CallCounter::Token open_;
  std::shared_ptr<SessionCall> self_;
};

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_SESSION_CALL_H_
