#ifndef PREFORK_SERVER_WORKER_SEGMENT_TABLE_H_
#define PREFORK_SERVER_WORKER_SEGMENT_TABLE_H_

#include <cstdint>
#include <map>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/os/fd.h"
#include "common/os/mapping.h"

namespace prefork::worker {

// The segments that the daemon has lent to this worker, mapped.
class SegmentTable {
 public:
  // Maps a segment; the descriptor is closed. Fails with what is wrong with it.
  absl::Status Add(uint64_t id, uint64_t size_bytes, os::Fd fd);
  // Unmaps it. An unknown one is ignored: the daemon may take back what was never mapped.
  void Remove(uint64_t id);
  // Its first `size_bytes`. NOT_FOUND: it was not lent; OUT_OF_RANGE: it is smaller.
  absl::StatusOr<std::span<char>> Find(uint64_t id, uint64_t size_bytes);
  // Leaves a copy of segment `id` at the address where Find had it, for the caller to munmap. Fails
  // as Find and Mapping::LeaveCopy do.
  absl::StatusOr<std::span<char>> LeaveCopy(uint64_t id);

 private:
  std::map<uint64_t, os::Mapping> mappings_;
};

}  // namespace prefork::worker

#endif  // PREFORK_SERVER_WORKER_SEGMENT_TABLE_H_
