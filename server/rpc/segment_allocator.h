#ifndef PREFORK_SERVER_RPC_SEGMENT_ALLOCATOR_H_
#define PREFORK_SERVER_RPC_SEGMENT_ALLOCATOR_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/shm/segment.h"
#include "server/engine/engine.h"

namespace prefork::rpc {

// Allocates fresh segments on a thread of its own, one after the other: to clear a large one takes
// long, and neither the engine nor other clients may wait for that. When memory has run out it has
// the engine forget finished tasks. Thread-safe.
class SegmentAllocator {
 public:
  // Called on the allocator's thread.
  using Done = std::function<void(absl::StatusOr<shm::SegmentRef>)>;

  // `engine` is not owned. It is stopped before the allocator is destroyed.
  explicit SegmentAllocator(engine::Engine* engine);
  SegmentAllocator(const SegmentAllocator&) = delete;
  SegmentAllocator& operator=(const SegmentAllocator&) = delete;
  // Ends the thread; what is still to be allocated is dropped.
  ~SegmentAllocator();

  void Allocate(size_t size_bytes, uint32_t owner_uid, Done done) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Order {
    size_t size_bytes;
    uint32_t owner_uid;
    Done done;
  };

  void Run() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<shm::SegmentRef> Lease(const Order& order);

  engine::Engine& engine_;
  absl::Mutex mutex_;
  std::deque<Order> orders_ ABSL_GUARDED_BY(mutex_);
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_SEGMENT_ALLOCATOR_H_
