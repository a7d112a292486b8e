#ifndef PREFORK_SERVER_SCHEDULER_READY_QUEUE_H_
#define PREFORK_SERVER_SCHEDULER_READY_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <utility>

#include "absl/container/btree_set.h"
#include "server/scheduler/intern_table.h"
#include "server/scheduler/task_table.h"
#include "server/scheduler/types.h"

namespace prefork::scheduler {

struct Pool;

// Tasks that stand in one line: first in, first out.
struct FlowKey {
  PoolKey pool = 0;
  ClientKey client = 0;
  int32_t priority = 0;
  bool dedicated = false;

  friend bool operator==(const FlowKey&, const FlowKey&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const FlowKey& key) {
    return H::combine(std::move(state), key.pool, key.client, key.priority, key.dedicated);
  }
};

struct Flow {
  FlowKey key;
  Pool* pool = nullptr;  // not owned; outlives the flow
  TaskList line;
  // Came back from a lane: by order, and all before those in `line`.
  absl::btree_set<std::pair<uint64_t, TaskSlot>> returned;
  uint32_t tasks = 0;                       // in it
  int64_t deficit = 0;                      // tasks it may take before the next flow's turn
  uint32_t previous = kNone, next = kNone;  // in the ring of its level
  bool in_ring = false;
  bool held = false;  // in no ring, whatever it has

  bool empty() const { return line.empty() && returned.empty(); }
};

using FlowTable = InternTable<FlowKey, Flow>;

// The queued tasks of one pool in the order in which they are to run; the design note is in
// ready_queue.cc. Every operation takes constant time, but for a logarithm of what came back.
class ReadyQueue {
 public:
  // Neither is owned.
  ReadyQueue(TaskTable* tasks, FlowTable* flows) : tasks_(tasks), flows_(flows) {}

  void PushBack(TaskSlot slot);
  // For a task that was popped and did not run: where it stood before, and its client's turn again.
  void PutBack(TaskSlot slot);
  // The next one; kNone if empty.
  TaskSlot Pop();
  void Remove(TaskSlot slot);
  // The flow's tasks are not popped while it is held.
  void Hold(uint32_t flow, bool held);

  // Is there nothing to be popped?
  bool empty() const { return size_ == held_; }
  size_t size() const { return size_; }  // with what is held
  void CheckInvariants() const;

 private:
  // The flows of one priority that have tasks, in the order of their turns.
  struct Ring {
    uint32_t first = kNone, last = kNone;
  };
  using Levels = std::map<int32_t, Ring, std::greater<>>;

  Ring& RingOf(const Flow& flow) { return levels_[flow.key.priority]; }
  void LinkFirst(Ring& ring, uint32_t index);
  void LinkLast(Ring& ring, uint32_t index);
  void Unlink(Ring& ring, uint32_t index);
  void LeaveRing(uint32_t index);
  void LeaveRingIfEmpty(uint32_t index);

  TaskTable* tasks_;
  FlowTable* flows_;
  Levels levels_;  // an empty ring stays until a Pop passes by
  size_t size_ = 0;
  size_t held_ = 0;  // of them, in held flows
  uint64_t last_order_ = 0;
};

}  // namespace prefork::scheduler

#endif  // PREFORK_SERVER_SCHEDULER_READY_QUEUE_H_
