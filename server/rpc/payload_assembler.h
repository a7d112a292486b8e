#ifndef PREFORK_SERVER_RPC_PAYLOAD_ASSEMBLER_H_
#define PREFORK_SERVER_RPC_PAYLOAD_ASSEMBLER_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/shm/segment.h"
#include "server/engine/types.h"

namespace prefork::rpc {

// Puts the chunks of an upload together: in a string if the declared size is small, else in a segment
// that is leased once, with the first chunk, and filled in place. Thread-compatible.
class PayloadAssembler {
 public:
  // `declared_bytes` are to come. `segments` is not owned.
  PayloadAssembler(uint64_t declared_bytes, size_t inline_threshold_bytes, uint32_t owner_uid,
                   shm::SegmentPool* segments)
      : declared_bytes_(declared_bytes),
        inline_threshold_bytes_(inline_threshold_bytes),
        owner_uid_(owner_uid),
        segments_(segments) {}

  // INVALID_ARGUMENT when the chunk is too large or more comes than was declared,
  // RESOURCE_EXHAUSTED when there is no room for what was.
  absl::Status Append(std::string_view chunk);
  // The payload; INVALID_ARGUMENT when less came than was declared.
  absl::StatusOr<engine::Bytes> Finish();

 private:
  uint64_t declared_bytes_;
  size_t inline_threshold_bytes_;
  uint32_t owner_uid_;
  shm::SegmentPool* segments_;
  uint64_t received_bytes_ = 0;
  std::string inline_;
  shm::SegmentRef segment_;  // null: inline
};

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_PAYLOAD_ASSEMBLER_H_
