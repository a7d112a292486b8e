#ifndef PREFORK_SERVER_RPC_READ_OUTPUT_CALL_H_
#define PREFORK_SERVER_RPC_READ_OUTPUT_CALL_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "server/engine/engine.h"
#include "server/rpc/stream_call.h"

namespace prefork::rpc {

struct ReadOutputOptions {
  engine::TaskId task = 0;
  bool want_stdout = true;
  bool want_stderr = true;
  uint64_t offset = 0;  // of the one stream that is wanted
  bool follow = false;
};

// Streams what a task has written, and with `follow` what it goes on writing, until it is terminal.
// The watch behind `follow` only tells that there is more: the bytes always come from what is kept,
// so that a slow reader loses no more than everyone does.
class ReadOutputCall final : public StreamCall, private engine::EventSink {
 public:
  ReadOutputCall(const RpcContext& rpc, const engine::Caller& caller,
                 const ReadOutputOptions& options);
  ~ReadOutputCall() override = default;

 private:
  struct Position {
    engine::OutputStream stream;
    bool wanted;
    uint64_t next;
  };

  void OnStart() override;
  void OnWritten() override;
  void OnEnd() override;

  void AddAccepted(uint64_t first_tag, engine::TaskId first_id, uint64_t count) override;
  void AddRejected(uint64_t tag, const absl::Status& why) override;
  void AddEvent(uint64_t tag, const engine::EventRecord& event) override;
  void AddFinished(uint64_t tag, const engine::EventRecord& event, const engine::Bytes& value,
                   std::string_view content_type, std::string_view error,
                   const engine::ExitReport* report,
                   const std::vector<engine::ExitReport>* earlier) override;
  size_t pending_bytes() const override { return news_ ? 1 : 0; }
  void Flush() override;
  void Close(const absl::Status& why) override;
  void PauseReading(bool pause) override;

  absl::Status OpenWatch();
  // Sends what is new; ends the call when nothing is and nothing can come.
  void Pump();

  const ReadOutputOptions options_;
  Position positions_[2];
  engine::SessionId watch_ = 0;
  bool terminal_ = false;
  bool news_ = false;  // the watch has told something since its last flush
};

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_READ_OUTPUT_CALL_H_
