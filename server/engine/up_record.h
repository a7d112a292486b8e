#ifndef PREFORK_SERVER_ENGINE_UP_RECORD_H_
#define PREFORK_SERVER_ENGINE_UP_RECORD_H_

#include <cstddef>
#include <span>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/shm/lane_layout.h"

// Reads what workers write into their up queues. Nothing in there is trusted: the fixed part is
// copied once and checked, lengths have to add up to the record exactly. The views point into
// shared memory, so their contents (not their lengths) may still change: copy before use.
// INVALID_ARGUMENT says which field makes no sense.
namespace prefork::engine {

struct UpFinished {
  shm::FinishedRecord fields;
  std::string_view error;
  std::string_view content_type;
  std::string_view value;  // empty when it is in a segment
};

struct UpProgress {
  shm::ProgressRecord fields;  // done and total are finite
  std::string_view text;
};

struct UpPartial {
  shm::PartialRecord fields;
  std::string_view content_type;
  std::string_view value;  // empty when it is in a segment
};

absl::StatusOr<shm::StartedRecord> ReadStarted(std::span<const std::byte> body);
absl::StatusOr<UpFinished> ReadFinished(std::span<const std::byte> body);
absl::StatusOr<UpProgress> ReadProgress(std::span<const std::byte> body);
absl::StatusOr<UpPartial> ReadPartial(std::span<const std::byte> body);

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_UP_RECORD_H_
