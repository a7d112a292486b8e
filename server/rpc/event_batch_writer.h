#ifndef PREFORK_SERVER_RPC_EVENT_BATCH_WRITER_H_
#define PREFORK_SERVER_RPC_EVENT_BATCH_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "grpcpp/support/byte_buffer.h"
#include "server/engine/types.h"
#include "server/rpc/wire_writer.h"

namespace prefork::rpc {

// Builds a SessionResponse with one EventBatch, straight in wire format: what a session sends by the
// million is written once. Runs of accepted tasks become one range. Thread-compatible.
class EventBatchWriter {
 public:
  void AddAccepted(uint64_t first_tag, engine::TaskId first_id, uint64_t count);
  void AddRejected(uint64_t tag, const absl::Status& why);
  // Any kind but kFinished.
  void AddEvent(uint64_t tag, const engine::EventRecord& event);
  // `report` may be null; then `earlier` is not looked at. `segment_id` not 0: the client has the
  // value by that segment, and it is left out.
  void AddFinished(uint64_t tag, const engine::EventRecord& event, const engine::Bytes& value,
                   std::string_view content_type, std::string_view error,
                   const engine::ExitReport* report, const std::vector<engine::ExitReport>* earlier,
                   uint64_t segment_id = 0);

  bool empty() const { return size_bytes() == 0; }
  // Roughly: a range that may still grow counts as what it takes at most.
  size_t size_bytes() const { return body_.size() + (count_ == 0 ? 0 : kMaxRangeBytes); }
  // The message so far, and begins the next.
  grpc::ByteBuffer Take();

 private:
  static constexpr size_t kMaxRangeBytes = 40;

  void FlushAccepted();

  WireWriter body_;  // of the EventBatch
  // The range of accepted tasks that may still grow; none when count_ is 0.
  uint64_t first_tag_ = 0;
  engine::TaskId first_id_ = 0;
  uint64_t count_ = 0;
};

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_EVENT_BATCH_WRITER_H_
