#ifndef PREFORK_SERVER_SCHEDULER_TIMER_HEAP_H_
#define PREFORK_SERVER_SCHEDULER_TIMER_HEAP_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "server/scheduler/types.h"

namespace prefork::scheduler {

// Deadlines of tasks, earliest first. Each can be moved and taken out in O(log n), so that the
// timeout of a task that finished long before it costs nothing afterwards.
class TimerHeap {
 public:
  using Handle = uint32_t;

  Handle Add(int64_t at_ns, TaskSlot task);
  void Move(Handle handle, int64_t at_ns);
  void Remove(Handle handle);

  bool empty() const { return heap_.empty(); }
  size_t size() const { return heap_.size(); }
  // Of the earliest; not when empty.
  int64_t next_ns() const { return heap_.front().at_ns; }
  TaskSlot next_task() const { return heap_.front().task; }

  void CheckInvariants() const;

 private:
  struct Entry {
    int64_t at_ns;
    TaskSlot task;
    Handle handle;
  };

  void Place(size_t position, Entry entry);
  void SiftUp(size_t position);
  void SiftDown(size_t position);

  std::vector<Entry> heap_;          // binary heap; equal times in no particular order
  std::vector<uint32_t> positions_;  // where a handle's entry is in heap_
  std::vector<Handle> free_;
};

}  // namespace prefork::scheduler

#endif  // PREFORK_SERVER_SCHEDULER_TIMER_HEAP_H_
