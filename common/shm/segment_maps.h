#ifndef PREFORK_COMMON_SHM_SEGMENT_MAPS_H_
#define PREFORK_COMMON_SHM_SEGMENT_MAPS_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/os/fd.h"
#include "common/os/mapping.h"

namespace prefork::shm {

// A segment's memory as it is mapped in a process that got it by descriptor.
class SegmentMap {
 public:
  SegmentMap() = default;
  bool valid() const { return mapping_.valid(); }
  size_t size() const { return mapping_.size(); }
  std::span<std::byte> bytes() { return mapping_.bytes(); }
  std::span<const std::byte> bytes() const { return mapping_.bytes(); }
  // See os::Mapping.
  absl::StatusOr<std::span<std::byte>> LeaveCopy() { return mapping_.LeaveCopy(); }

 private:
  friend class SegmentMaps;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  os::Mapping::Access access_ = os::Mapping::Access::kRead;
  os::Mapping mapping_;
};

// Maps segments, and keeps mappings that are not in use for when the same memory comes again: the
// daemon recycles memory, and to map and fault it in costs more than to fill it. The design note is
// in segment_maps.cc. Thread-safe.
class SegmentMaps {
 public:
  // Keeps at most so many unused mappings, of so many bytes in all.
  SegmentMaps(size_t max_kept, size_t max_kept_bytes)
      : max_kept_(max_kept), max_kept_bytes_(max_kept_bytes) {}

  // Maps all of a memfd; the descriptor may be closed afterwards. The first `write_bytes` of a new
  // mapping are faulted in at once. FAILED_PRECONDITION when its size isn't sealed, INVALID_ARGUMENT
  // when it is smaller than `least_bytes`; else the errno of mmap.
  absl::StatusOr<SegmentMap> Map(int fd, uint64_t least_bytes, os::Mapping::Access access,
                                 size_t write_bytes = 0) ABSL_LOCKS_EXCLUDED(mutex_);
  // Takes a mapping back. Its bytes must not be touched any more.
  void Keep(SegmentMap map) ABSL_LOCKS_EXCLUDED(mutex_);

  size_t kept_bytes() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  const size_t max_kept_;
  const size_t max_kept_bytes_;
  mutable absl::Mutex mutex_;
  std::deque<SegmentMap> kept_ ABSL_GUARDED_BY(mutex_);  // longest unused first
  size_t kept_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace prefork::shm

#endif  // PREFORK_COMMON_SHM_SEGMENT_MAPS_H_
