#ifndef PREFORK_SERVER_SCHEDULER_DEPENDENCIES_H_
#define PREFORK_SERVER_SCHEDULER_DEPENDENCIES_H_

#include <cstddef>
#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "server/scheduler/slab.h"
#include "server/scheduler/types.h"

namespace prefork::scheduler {

// Which task waits for which. An edge is in two lists, of its predecessor and of its successor, so
// that either end can leave in time proportional to its own edges.
class Dependencies {
 public:
  // `successor` waits for `predecessor`. Two equal edges count as two.
  void Add(TaskSlot predecessor, TaskSlot successor);

  bool IsBlocked(TaskSlot successor) const { return of_successor_.contains(successor); }

  // Drops everything that `successor` waits for.
  void Unblock(TaskSlot successor);

  // Takes the oldest edge of `predecessor` away and names its successor; kNone when none is left.
  TaskSlot TakeSuccessor(TaskSlot predecessor);

  size_t size() const { return edges_.size(); }
  void CheckInvariants() const;

 private:
  struct Edge {
    TaskSlot predecessor = kNone, successor = kNone;
    // Neighbours among the edges of the same predecessor, and of the same successor.
    uint32_t previous_out = kNone, next_out = kNone;
    uint32_t previous_in = kNone, next_in = kNone;
  };
  struct Ends {
    uint32_t first, last;
  };
  using Lists = absl::flat_hash_map<TaskSlot, Ends>;

  void Remove(uint32_t edge);
  // Takes `edge` out of the list of `task` in `lists`, whose links are the two given members.
  void Unlink(Lists& lists, TaskSlot task, uint32_t edge, uint32_t Edge::*previous,
              uint32_t Edge::*next);
  void Link(Lists& lists, TaskSlot task, uint32_t edge, uint32_t Edge::*previous,
            uint32_t Edge::*next);

  Slab<Edge> edges_;
  Lists of_predecessor_;
  Lists of_successor_;
};

}  // namespace prefork::scheduler

#endif  // PREFORK_SERVER_SCHEDULER_DEPENDENCIES_H_
