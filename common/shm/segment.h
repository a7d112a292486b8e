#ifndef PREFORK_COMMON_SHM_SEGMENT_H_
#define PREFORK_COMMON_SHM_SEGMENT_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/os/fd.h"
#include "common/os/mapping.h"

namespace prefork::shm {

// A sealed memfd that carries one large payload, mapped in this process. The memory was allocated
// with fallocate when it was created, so touching it never faults. Immutable size; contents have
// one writer at a time.
class Segment {
 public:
  uint64_t id() const { return id_; }
  int fd() const { return fd_.get(); }
  size_t capacity_bytes() const { return mapping_.size(); }
  std::span<std::byte> bytes() { return mapping_.bytes(); }
  std::span<const std::byte> bytes() const { return mapping_.bytes(); }

 private:
  friend class SegmentPool;
  Segment(uint64_t id, os::Fd fd, os::Mapping mapping);
  uint64_t id_;
  os::Fd fd_;
  os::Mapping mapping_;
};

// Hands out segments and takes them back into a warm free list when the last SegmentRef goes.
// Thread-safe.
using SegmentRef = std::shared_ptr<Segment>;

struct SegmentPoolOptions {
  size_t max_total_bytes = size_t{1}
                           << 30;  // leased and warm together; over it: RESOURCE_EXHAUSTED
  size_t max_warm_bytes = size_t{256} << 20;  // kept for reuse
};

class SegmentPool : public std::enable_shared_from_this<SegmentPool> {
 public:
  static std::shared_ptr<SegmentPool> Create(const SegmentPoolOptions& options);
  // A segment of at least `size_bytes`: 64 KiB, then four size classes to each doubling.
  // RESOURCE_EXHAUSTED names the limit; INVALID_ARGUMENT for 0 bytes. Recycled memory is not
  // cleared; it only ever goes back to the same `owner_uid`, because a former holder may have kept
  // it mapped. IDs are never used twice, also not for recycled memory.
  absl::StatusOr<SegmentRef> Lease(size_t size_bytes, uint32_t owner_uid);
  // The same, if there is warm memory for it; else null. Quick: Lease may take long, since fresh
  // memory has to be cleared.
  SegmentRef LeaseWarm(size_t size_bytes, uint32_t owner_uid);
  size_t leased_bytes() const;
  size_t warm_bytes() const;
  // Gives all warm memory back to the kernel.
  void TrimWarm();

 private:
  struct Warm {
    uint32_t owner_uid;
    std::unique_ptr<Segment> segment;
  };

  explicit SegmentPool(const SegmentPoolOptions& options) : options_(options) {}
  static absl::StatusOr<std::unique_ptr<Segment>> Allocate(uint64_t id, size_t bytes);
  SegmentRef Wrap(std::unique_ptr<Segment> segment, uint32_t owner_uid);
  void Return(std::unique_ptr<Segment> segment, uint32_t owner_uid);
  using Segments = std::vector<std::unique_ptr<Segment>>;
  // Frees their memory, whoever has it mapped. Slow; without the lock.
  static void Free(const Segments& segments);
  // Leased under a new ID; null: none fits.
  std::unique_ptr<Segment> TakeWarmLocked(size_t class_bytes, uint32_t owner_uid)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Takes out what has to be freed.
  [[nodiscard]] Segments TrimWarmLocked(size_t keep_bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status TooMuch(size_t size_bytes) const;

  const SegmentPoolOptions options_;
  mutable absl::Mutex mutex_;
  uint64_t next_id_ ABSL_GUARDED_BY(mutex_) = 1;
  size_t leased_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t warm_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::deque<Warm> warm_ ABSL_GUARDED_BY(mutex_);  // longest unused first
};

}  // namespace prefork::shm

#endif  // PREFORK_COMMON_SHM_SEGMENT_H_
