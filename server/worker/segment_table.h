#ifndef PREFORK_SERVER_WORKER_SEGMENT_TABLE_H_
#define PREFORK_SERVER_WORKER_SEGMENT_TABLE_H_

#include <cstdint>
#include <map>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/os/fd.h"
#include "common/shm/segment_maps.h"

namespace prefork::worker {

// The segments that the daemon has lent to this worker, mapped. What is taken back stays mapped for
// when the same memory comes again (common/shm/segment_maps.h).
class SegmentTable {
 public:
  // A payload can only be read: it may be another task's payload, too, here and elsewhere.
  enum class Use { kPayload, kValue };

  SegmentTable();

  // Maps a segment; the descriptor is closed. Fails with what is wrong with it.
  absl::Status Add(uint64_t id, uint64_t size_bytes, os::Fd fd, Use use);
  // An unknown one is ignored: the daemon may take back what was never mapped.
  void Remove(uint64_t id);
  // `size_bytes` of it from `offset` on. NOT_FOUND: it was not lent; OUT_OF_RANGE: it is smaller.
  absl::StatusOr<std::span<char>> Find(uint64_t id, uint64_t offset, uint64_t size_bytes);
  // Leaves a copy of segment `id` at the address where Find had it, for the caller to munmap. Fails
  // as Find and Mapping::LeaveCopy do.
  absl::StatusOr<std::span<char>> LeaveCopy(uint64_t id);

 private:
  shm::SegmentMaps maps_;
  std::map<uint64_t, shm::SegmentMap> lent_;
};

}  // namespace prefork::worker

#endif  // PREFORK_SERVER_WORKER_SEGMENT_TABLE_H_
