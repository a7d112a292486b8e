// Priority first, then deficit round robin between clients, first come first served within one.
//
//   levels_   10 -> ring: (client 7) -> (client 2)          a flow = one client at one priority
//              0 -> ring: (client 7) -> (client 9) -> ...
//                             |
//                             +-- returned {3, 5}  then  line 8 -> 9 -> 12    (numbers:
//                             Task::order)
//
// The first flow of the first ring that is not empty is served. Each turn adds kQuantum tasks to a
// flow's deficit, each task taken costs one; without deficit left the flow goes to the end of the
// ring. The cost of a task is one, whatever it may run: that is not known when it is dispatched.
// A task put back gives its cost back as well, so that moving tasks between lanes does not change
// anybody's share; a lane holds about a millisecond of work, so others wait no longer than that for
// it. A flow that runs empty leaves the ring and forgets its deficit: nobody saves up turns. One
// that is held leaves it with its tasks, at the cost of a list operation however many they are, and
// comes back at the end of it.
//
// Tasks are popped in their order, so those put back precede all that are still in line: a sorted
// set in front of the line is enough to restore the order exactly, however the answers come in.

#include "server/scheduler/ready_queue.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "server/scheduler/check.h"

namespace prefork::scheduler {
namespace {

// One, because tasks may be long: a second client never waits for more than one of the first.
constexpr int64_t kQuantum = 1;

}  // namespace

void ReadyQueue::PushBack(TaskSlot slot) {
  Task& task = (*tasks_)[slot];
  Flow& flow = (*flows_)[task.flow];
  task.order = ++last_order_;
  task.returned = false;
  flow.line.PushBack(*tasks_, slot);
  ++size_;
  ++flow.tasks;
  if (flow.held) {
    ++held_;
  } else if (!flow.in_ring) {
    flow.deficit = kQuantum;
    LinkLast(RingOf(flow), task.flow);
  }
}

void ReadyQueue::PutBack(TaskSlot slot) {
  Task& task = (*tasks_)[slot];
  Flow& flow = (*flows_)[task.flow];
  task.returned = true;
  flow.returned.emplace(task.order, slot);
  ++size_;
  ++flow.tasks;
  ++flow.deficit;
  if (flow.held) {
    ++held_;
  } else if (!flow.in_ring) {
    LinkFirst(RingOf(flow), task.flow);
  }
}

TaskSlot ReadyQueue::Pop() {
  if (empty()) {
    return kNone;
  }
  auto level = levels_.begin();
  while (level->second.first == kNone) {
    level = levels_.erase(level);
  }
  Ring& ring = level->second;
  const uint32_t index = ring.first;
  Flow& flow = (*flows_)[index];
  TaskSlot slot;
  if (flow.returned.empty()) {
    slot = flow.line.front();
    flow.line.Remove(*tasks_, slot);
  } else {
    slot = flow.returned.begin()->second;
    flow.returned.erase(flow.returned.begin());
  }
  --size_;
  --flow.tasks;
  --flow.deficit;
  if (flow.empty()) {
    LeaveRingIfEmpty(index);
  } else if (flow.deficit <= 0) {
    flow.deficit += kQuantum;
    if (ring.last != index) {
      Unlink(ring, index);
      LinkLast(ring, index);
    }
  }
  return slot;
}

void ReadyQueue::Remove(TaskSlot slot) {
  const Task& task = (*tasks_)[slot];
  Flow& flow = (*flows_)[task.flow];
  if (task.returned) {
    flow.returned.erase({task.order, slot});
  } else {
    flow.line.Remove(*tasks_, slot);
  }
  --size_;
  --flow.tasks;
  held_ -= flow.held ? 1 : 0;
  LeaveRingIfEmpty(task.flow);
}

void ReadyQueue::Hold(uint32_t index, bool held) {
  Flow& flow = (*flows_)[index];
  if (flow.held == held) {
    return;
  }
  flow.held = held;
  if (held) {
    held_ += flow.tasks;
    if (flow.in_ring) {
      LeaveRing(index);
    }
    return;
  }
  held_ -= flow.tasks;
  if (!flow.empty()) {
    flow.deficit = std::max(flow.deficit, kQuantum);
    LinkLast(RingOf(flow), index);
  }
}

void ReadyQueue::LeaveRingIfEmpty(uint32_t index) {
  Flow& flow = (*flows_)[index];
  if (!flow.empty()) {
    return;
  }
  flow.deficit = 0;
  if (flow.in_ring) {
    LeaveRing(index);
  }
}

void ReadyQueue::LeaveRing(uint32_t index) {
  Flow& flow = (*flows_)[index];
  const auto level = levels_.find(flow.key.priority);
  Unlink(level->second, index);
  // One ring may stay empty, lest a single client with a task at a time allocates each time.
  if (level->second.first == kNone && levels_.size() > 1) {
    levels_.erase(level);
  }
}

void ReadyQueue::LinkFirst(Ring& ring, uint32_t index) {
  Flow& flow = (*flows_)[index];
  flow.in_ring = true;
  flow.previous = kNone;
  flow.next = ring.first;
  if (ring.first == kNone) {
    ring.last = index;
  } else {
    (*flows_)[ring.first].previous = index;
  }
  ring.first = index;
}

void ReadyQueue::LinkLast(Ring& ring, uint32_t index) {
  Flow& flow = (*flows_)[index];
  flow.in_ring = true;
  flow.previous = ring.last;
  flow.next = kNone;
  if (ring.last == kNone) {
    ring.first = index;
  } else {
    (*flows_)[ring.last].next = index;
  }
  ring.last = index;
}

void ReadyQueue::Unlink(Ring& ring, uint32_t index) {
  Flow& flow = (*flows_)[index];
  flow.in_ring = false;
  if (flow.previous == kNone) {
    ring.first = flow.next;
  } else {
    (*flows_)[flow.previous].next = flow.next;
  }
  if (flow.next == kNone) {
    ring.last = flow.previous;
  } else {
    (*flows_)[flow.next].previous = flow.previous;
  }
}

void ReadyQueue::CheckInvariants() const {
  size_t tasks = 0;
  for (const auto& [priority, ring] : levels_) {
    for (uint32_t index = ring.first; index != kNone; index = (*flows_)[index].next) {
      const Flow& flow = (*flows_)[index];
      Check(flow.in_ring && flow.key.priority == priority, "a flow is in its level's ring");
      Check(!flow.empty() && !flow.held, "a flow in a ring has tasks to offer");
      Check(flow.deficit > 0, "a flow in a ring has a turn coming");
      uint64_t order = 0;
      for (const auto& [returned_order, slot] : flow.returned) {
        Check((*tasks_)[slot].returned && (*tasks_)[slot].order == returned_order,
              "a task that came back knows its order");
        order = returned_order;
        ++tasks;
      }
      for (TaskSlot slot = flow.line.front(); slot != kNone; slot = (*tasks_)[slot].next) {
        Check((*tasks_)[slot].order > order, "tasks of a flow are in their order");
        Check((*tasks_)[slot].state == TaskState::kQueued, "a task in a queue is queued");
        order = (*tasks_)[slot].order;
        ++tasks;
      }
    }
  }
  Check(tasks + held_ == size_, "the queue counts its tasks");
}

}  // namespace prefork::scheduler
