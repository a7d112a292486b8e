#include "server/scheduler/timer_heap.h"

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "server/scheduler/check.h"

namespace prefork::scheduler {
namespace {

// More than this is given back when the last timer goes.
constexpr size_t kKeep = 1024;

}  // namespace

TimerHeap::Handle TimerHeap::Add(int64_t at_ns, TaskSlot task) {
  Handle handle;
  if (free_.empty()) {
    handle = static_cast<Handle>(positions_.size());
    positions_.push_back(0);
  } else {
    handle = free_.back();
    free_.pop_back();
  }
  heap_.push_back(Entry{.at_ns = at_ns, .task = task, .handle = handle});
  SiftUp(heap_.size() - 1);
  return handle;
}

void TimerHeap::Move(Handle handle, int64_t at_ns) {
  const size_t position = positions_[handle];
  const bool earlier = at_ns < heap_[position].at_ns;
  heap_[position].at_ns = at_ns;
  if (earlier) {
    SiftUp(position);
  } else {
    SiftDown(position);
  }
}

void TimerHeap::Remove(Handle handle) {
  const size_t position = positions_[handle];
  const Entry last = heap_.back();
  heap_.pop_back();
  if (position < heap_.size()) {
    Place(position, last);
    SiftUp(position);
    SiftDown(positions_[last.handle]);
  }
  free_.push_back(handle);
  if (heap_.empty() && positions_.size() > kKeep) {
    std::vector<Entry>().swap(heap_);
    std::vector<uint32_t>().swap(positions_);
    std::vector<Handle>().swap(free_);
  }
}

void TimerHeap::Place(size_t position, Entry entry) {
  heap_[position] = entry;
  positions_[entry.handle] = static_cast<uint32_t>(position);
}

void TimerHeap::SiftUp(size_t position) {
  const Entry entry = heap_[position];
  while (position > 0) {
    const size_t parent = (position - 1) / 2;
    if (heap_[parent].at_ns <= entry.at_ns) {
      break;
    }
    Place(position, heap_[parent]);
    position = parent;
  }
  Place(position, entry);
}

void TimerHeap::SiftDown(size_t position) {
  const Entry entry = heap_[position];
  for (;;) {
    size_t child = 2 * position + 1;
    if (child >= heap_.size()) {
      break;
    }
    if (child + 1 < heap_.size() && heap_[child + 1].at_ns < heap_[child].at_ns) {
      ++child;
    }
    if (entry.at_ns <= heap_[child].at_ns) {
      break;
    }
    Place(position, heap_[child]);
    position = child;
  }
  Place(position, entry);
}

void TimerHeap::CheckInvariants() const {
  Check(heap_.size() + free_.size() == positions_.size(), "every timer handle is used or free");
  for (size_t i = 0; i < heap_.size(); ++i) {
    Check(positions_[heap_[i].handle] == i, "a timer is where its handle says");
    Check(i == 0 || heap_[(i - 1) / 2].at_ns <= heap_[i].at_ns, "timers are in heap order");
  }
}

}  // namespace prefork::scheduler
