#ifndef PREFORK_SERVER_ENGINE_FINISHED_TASKS_H_
#define PREFORK_SERVER_ENGINE_FINISHED_TASKS_H_

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/container/btree_set.h"
#include "absl/time/time.h"
#include "server/engine/task_table.h"

namespace prefork::engine {

struct FinishedLimits {
  absl::Duration ttl = absl::Hours(1);
  size_t max_tasks = 100'000;
  size_t max_bytes = size_t{512} << 20;
};

// The finished tasks that nobody is waiting for any more, kept for those who ask later: for their
// time to live, and within bounds of count and bytes. Whose time would end first goes first.
// Results that a connected session has not got yet are not in here, so nothing evicts them. Most
// tasks share one time to live and wait in a list in the order of their ends; those with a time of
// their own are sorted.
class FinishedTasks {
 public:
  // `tasks` is not owned. Its records carry the list's links.
  FinishedTasks(TaskTable* tasks, const FinishedLimits& limits) : tasks_(tasks), limits_(limits) {}

  // Keeps a terminal task from now on. `now_ns` is monotonic.
  void Add(TaskSlot slot, int64_t now_ns);
  // Takes one out before its time: deleted, or taken over by a session.
  void Remove(TaskSlot slot);

  // The next task that has to go (its time is over, or a bound is exceeded), taken out; kNone:
  // nobody. The caller forgets it.
  TaskSlot TakeExpired(int64_t now_ns);
  // The oldest task that holds a segment, to make room for a new one; kNone when there is none.
  TaskSlot TakeSegmentHolder();
  // When the next one's time is over; INT64_MAX: never.
  int64_t NextExpiryNs() const;

  size_t size() const { return size_; }
  size_t bytes() const { return bytes_; }

 private:
  TaskSlot Next() const;
  TaskSlot TakeNext();

  TaskTable* const tasks_;
  const FinishedLimits limits_;
  TaskSlot head_ = kNone;  // the oldest
  TaskSlot tail_ = kNone;
  absl::btree_set<std::pair<int64_t, TaskSlot>> own_ttl_;  // by expiry
  size_t size_ = 0;
  size_t bytes_ = 0;
  size_t segment_holders_ = 0;
};

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_FINISHED_TASKS_H_
