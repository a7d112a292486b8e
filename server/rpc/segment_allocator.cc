#include "server/rpc/segment_allocator.h"

#include <memory>
#include <utility>

#include "absl/synchronization/notification.h"

namespace prefork::rpc {
namespace {

// Notifies at the end of its life: also when the engine drops the work that holds it.
struct Reply {
  explicit Reply(absl::Notification* notification) : done(notification) {}
  Reply(const Reply&) = delete;
  Reply& operator=(const Reply&) = delete;
  ~Reply() { done->Notify(); }
  absl::Notification* const done;
};

void MakeRoom(engine::Engine& engine, size_t size_bytes) {
  absl::Notification done;
  engine.Post([&engine, size_bytes, reply = std::make_unique<Reply>(&done)] {
    engine.EvictSegments(size_bytes);
  });
  done.WaitForNotification();
}

}  // namespace

SegmentAllocator::SegmentAllocator(engine::Engine* engine)
    : engine_(*engine), thread_([this] { Run(); }) {}

SegmentAllocator::~SegmentAllocator() {
  {
    absl::MutexLock lock(&mutex_);
    stop_ = true;
  }
  thread_.join();
}

void SegmentAllocator::Allocate(size_t size_bytes, uint32_t owner_uid, Done done) {
  absl::MutexLock lock(&mutex_);
  orders_.push_back({size_bytes, owner_uid, std::move(done)});
}

void SegmentAllocator::Run() {
  while (true) {
    Order order;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(
          +[](SegmentAllocator* self)
               ABSL_NO_THREAD_SAFETY_ANALYSIS { return self->stop_ || !self->orders_.empty(); },
          this));
      if (stop_) return;
      order = std::move(orders_.front());
      orders_.pop_front();
    }
    order.done(Lease(order));
  }
}

absl::StatusOr<shm::SegmentRef> SegmentAllocator::Lease(const Order& order) {
  absl::StatusOr<shm::SegmentRef> segment =
      engine_.segments().Lease(order.size_bytes, order.owner_uid);
  if (!absl::IsResourceExhausted(segment.status())) return segment;
  MakeRoom(engine_, order.size_bytes);
  return engine_.segments().Lease(order.size_bytes, order.owner_uid);
}

}  // namespace prefork::rpc
