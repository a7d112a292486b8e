// Memory for large payloads.
//
//     Lease(size, uid) --> warm list of (class, uid)? --yes--> same pages, new ID --+
//                              | no                                              +--> SegmentRef
//                              --(last one goes)--> warm list
//                          memfd + fallocate + seal + mmap  ---------------------+ or freed
//
// Why warm: fresh shared pages cost a fault and a clearing each, 30 times the price of pages that
// are mapped already. Size classes: 64 KiB, then four to each doubling, so at most a fifth of a
// segment is unused.
//
// Bounds: leased and warm memory together stay below max_total_bytes; when a lease would not fit,
// warm memory is given back to the kernel first, the longest unused first. fallocate makes running
// out a Status instead of a SIGBUS.
//
// Trust: whoever got a segment's descriptor may have kept it mapped and may read and write it for
// ever. So recycled memory only goes back to the user it was leased to before; it is useless to
// clear it for another one.
//
// Whoever holds a mapping without a lease must not keep the memory from the kernel: it is freed by
// punching the pages out of the file, not only by closing it.
//
// Death of a holder: a reference lives in the daemon, in the lease of a worker or client, and goes
// with that. The deleter holds the pool weakly: a segment that outlives its pool is just freed.
#include "common/shm/segment.h"

#include <bit>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/os/memfd.h"

namespace prefork::shm {
namespace {

constexpr size_t kSmallestBytes = size_t{64} << 10;
constexpr size_t kClassesPerDoubling = 4;

size_t ClassBytes(size_t size_bytes) {
  if (size_bytes <= kSmallestBytes) return kSmallestBytes;
  const size_t step = std::bit_floor(size_bytes - 1) / kClassesPerDoubling;
  return (size_bytes + step - 1) / step * step;
}

}  // namespace

Segment::Segment(uint64_t id, os::Fd fd, os::Mapping mapping)
    : id_(id), fd_(std::move(fd)), mapping_(std::move(mapping)) {}

std::shared_ptr<SegmentPool> SegmentPool::Create(const SegmentPoolOptions& options) {
  return std::shared_ptr<SegmentPool>(new SegmentPool(options));
}

absl::StatusOr<SegmentRef> SegmentPool::Lease(size_t size_bytes, uint32_t owner_uid) {
  if (size_bytes == 0) return absl::InvalidArgumentError("a segment of 0 bytes");
  if (size_bytes > options_.max_total_bytes) return TooMuch(size_bytes);
  const size_t class_bytes = ClassBytes(size_bytes);
  uint64_t id;
  Segments trimmed;
  {
    absl::MutexLock lock(&mutex_);
    if (std::unique_ptr<Segment> warm = TakeWarmLocked(class_bytes, owner_uid); warm != nullptr) {
      return Wrap(std::move(warm), owner_uid);
    }
    id = next_id_++;
    if (leased_bytes_ + class_bytes > options_.max_total_bytes) return TooMuch(size_bytes);
    trimmed = TrimWarmLocked(options_.max_total_bytes - leased_bytes_ - class_bytes);
    leased_bytes_ += class_bytes;  // taken now, so that the slow part can go without the lock
  }
  Free(trimmed);
  absl::StatusOr<std::unique_ptr<Segment>> fresh = Allocate(id, class_bytes);
  if (!fresh.ok()) {
    absl::MutexLock lock(&mutex_);
    leased_bytes_ -= class_bytes;
    return fresh.status();
  }
  return Wrap(*std::move(fresh), owner_uid);
}

SegmentRef SegmentPool::LeaseWarm(size_t size_bytes, uint32_t owner_uid) {
  if (size_bytes == 0 || size_bytes > options_.max_total_bytes) return nullptr;
  std::unique_ptr<Segment> warm;
  {
    absl::MutexLock lock(&mutex_);
    warm = TakeWarmLocked(ClassBytes(size_bytes), owner_uid);
  }
  return warm == nullptr ? nullptr : Wrap(std::move(warm), owner_uid);
}

absl::StatusOr<std::unique_ptr<Segment>> SegmentPool::Allocate(uint64_t id, size_t bytes) {
  absl::StatusOr<os::Fd> fd = os::CreateSealedMemfd("prefork-segment", bytes);
  if (!fd.ok()) return fd.status();
  absl::StatusOr<os::Mapping> mapping =
      os::Mapping::Create(fd->get(), bytes, os::Mapping::Access::kReadWrite);
  if (!mapping.ok()) return mapping.status();
  return std::unique_ptr<Segment>(new Segment(id, *std::move(fd), *std::move(mapping)));
}

SegmentRef SegmentPool::Wrap(std::unique_ptr<Segment> segment, uint32_t owner_uid) {
  return SegmentRef(segment.release(), [pool = weak_from_this(), owner_uid](Segment* returned) {
    std::unique_ptr<Segment> owned(returned);
    if (const std::shared_ptr<SegmentPool> alive = pool.lock(); alive != nullptr) {
      alive->Return(std::move(owned), owner_uid);
    }
  });
}

void SegmentPool::Return(std::unique_ptr<Segment> segment, uint32_t owner_uid) {
  const size_t bytes = segment->capacity_bytes();
  Segments trimmed;
  {
    absl::MutexLock lock(&mutex_);
    leased_bytes_ -= bytes;
    if (bytes > options_.max_warm_bytes) {
      trimmed.push_back(std::move(segment));
    } else {
      trimmed = TrimWarmLocked(options_.max_warm_bytes - bytes);
      warm_bytes_ += bytes;
      warm_.push_back({owner_uid, std::move(segment)});
    }
  }
  Free(trimmed);
}

void SegmentPool::Free(const Segments& segments) {
  for (const std::unique_ptr<Segment>& segment : segments) {
    os::DiscardPages(segment->fd(), segment->capacity_bytes());
  }
}

// The most recently returned one fits best: its pages are likeliest in the caches.
std::unique_ptr<Segment> SegmentPool::TakeWarmLocked(size_t class_bytes, uint32_t owner_uid) {
  for (auto warm = warm_.rbegin(); warm != warm_.rend(); ++warm) {
    if (warm->owner_uid != owner_uid || warm->segment->capacity_bytes() != class_bytes) continue;
    std::unique_ptr<Segment> segment = std::move(warm->segment);
    warm_.erase(std::next(warm).base());
    warm_bytes_ -= class_bytes;
    leased_bytes_ += class_bytes;
    segment->id_ = next_id_++;
    return segment;
  }
  return nullptr;
}

SegmentPool::Segments SegmentPool::TrimWarmLocked(size_t keep_bytes) {
  Segments trimmed;
  while (warm_bytes_ > keep_bytes) {
    warm_bytes_ -= warm_.front().segment->capacity_bytes();
    trimmed.push_back(std::move(warm_.front().segment));
    warm_.pop_front();
  }
  return trimmed;
}

absl::Status SegmentPool::TooMuch(size_t size_bytes) const {
  return absl::ResourceExhaustedError(absl::StrCat(
      "no room for a segment of ", size_bytes, " bytes: all segments together may take ",
      options_.max_total_bytes, " bytes; wait until results are fetched, or raise the limit"));
}

size_t SegmentPool::leased_bytes() const {
  absl::MutexLock lock(&mutex_);
  return leased_bytes_;
}

size_t SegmentPool::warm_bytes() const {
  absl::MutexLock lock(&mutex_);
  return warm_bytes_;
}

void SegmentPool::TrimWarm() {
  Segments trimmed;
  {
    absl::MutexLock lock(&mutex_);
    trimmed = TrimWarmLocked(0);
  }
  Free(trimmed);
}

}  // namespace prefork::shm
