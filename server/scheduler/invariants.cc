// What always holds between two events. See scheduler.cc for the whole.

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "server/scheduler/check.h"
#include "server/scheduler/scheduler_impl.h"
#include "server/scheduler/task_table.h"
#include "server/scheduler/types.h"
#include "server/scheduler/workers.h"

namespace prefork::scheduler {

void Scheduler::Impl::CheckInvariants() const {
  timers_.CheckInvariants();
  dependencies_.CheckInvariants();
  struct Tally {
    size_t live = 0;
    std::array<size_t, 4> in_state = {};
    size_t in_queues = 0;  // ready or ready_dedicated
  };
  absl::flat_hash_map<const Pool*, Tally> tallies;
  size_t used = 0;
  size_t details = 0;
  size_t timers = 0;
  for (TaskSlot slot = 0; slot < tasks_.end(); ++slot) {
    const Task* task = tasks_.Find(slot);
    if (task == nullptr) {
      continue;
    }
    ++used;
    CheckTask(slot, *task);
    if (task->details != kNone) {
      ++details;
      timers += details_[task->details].timer == kNone ? 0 : 1;
    }
    if (!IsTerminal(task->state)) {
      Tally& tally = tallies[flows_[task->flow].pool];
      ++tally.live;
      ++tally.in_state[static_cast<size_t>(task->state)];
      tally.in_queues += task->state == TaskState::kQueued && !task->starting ? 1 : 0;
    }
  }
  Check(used == tasks_.size(), "the table counts its tasks");
  Check(details == details_.size(), "details belong to a task");
  Check(timers == timers_.size(), "timers belong to a task");
  size_t workers = 0;
  size_t watched = 0;
  size_t resting = 0;
  size_t in_lanes = 0;
  for (const auto& [key, pool] : pools_) {
    CheckPool(*pool);
    const Tally& tally = tallies[pool.get()];
    Check(tally.live == pool->live, "a pool counts its unfinished tasks");
    Check(tally.in_state == pool->in_state, "a pool counts its tasks by state");
    Check(tally.in_queues == pool->ready.size() + pool->ready_dedicated.size(),
          "a queued task is in a queue");
    size_t pool_in_lanes = 0;
    for (const uint32_t index : pool->workers) {
      CheckWorker(index);
      Check(workers_[index].pool == pool.get(), "a worker is in its pool");
      ++workers;
      watched += workers_[index].watched ? 1 : 0;
      pool_in_lanes += workers_[index].lane_size;
    }
    Check(pool_in_lanes == pool->in_state[static_cast<size_t>(TaskState::kDispatched)] +
                               pool->in_state[static_cast<size_t>(TaskState::kRunning)],
          "a dispatched task is in one lane");
    resting += pool->resting.size();
    in_lanes += pool_in_lanes;
  }
  Check(workers == workers_.size() && workers == worker_index_.size(), "workers are counted");
  Check(resting == resting_, "resting workers are counted");
  Check(watched == watched_lanes_, "watched lanes are counted");
  Check(watched == 0 ? lane_check_ns_ == kNever : lane_check_ns_ != kNever,
        "lanes are watched exactly while there are some to watch");
  Check(in_lanes <= tasks_.size(), "no task is in two lanes");
  Check(!following_ends_ && ended_.empty(), "successors were told");
}

void Scheduler::Impl::CheckTask(TaskSlot slot, const Task& task) const {
  const bool in_lane = task.state == TaskState::kDispatched || task.state == TaskState::kRunning;
  if (IsTerminal(task.state)) {
    Check(
        task.flow == kNone && task.policy == kNone && task.details == kNone && task.worker == kNone,
        "a task that ended holds nothing");
    return;
  }
  Check(in_lane || task.worker == kNone || task.starting, "only a task in a lane has a worker");
  Check(!in_lane || task.worker != kNone, "a task in a lane has a worker");
  Check(!task.starting || task.state == TaskState::kQueued, "a task that starts is queued");
  Check(!task.revoking || in_lane, "only a task in a lane is revoked");
  Check(task.stop == StopPhase::kNone || task.state == TaskState::kRunning,
        "only a running task is stopped");
  Check(task.stop == StopPhase::kNone || task.end != EndCause::kNone, "a stop has a cause");
  Check(task.state != TaskState::kQueued || task.end == EndCause::kNone || task.starting,
        "a task that is to end is in no queue");
  Check(!dependencies_.IsBlocked(slot) || task.state == TaskState::kWaiting,
        "a task waits while its predecessors do");
  if (task.details != kNone) {
    const TaskDetails& details = details_[task.details];
    Check((details.timer != kNone) == (DeadlineOf(task, details) != kNever),
          "a task has a timer exactly while it has a deadline");
  }
  if (task.state == TaskState::kWaiting) {
    Check(dependencies_.IsBlocked(slot) ||
              (task.details != kNone && details_[task.details].wake_ns > 0),
          "a waiting task waits for something");
  }
}

void Scheduler::Impl::CheckWorker(uint32_t index) const {
  const Worker& worker = workers_[index];
  const auto it = worker_index_.find(worker.key);
  Check(it != worker_index_.end() && it->second == index, "a worker is found by its key");
  uint32_t entries = 0;
  uint32_t stopping = 0;
  for (TaskSlot slot = worker.lane.front(); slot != kNone; slot = tasks_[slot].next) {
    Check(tasks_[slot].worker == index, "a task knows its lane");
    ++entries;
    stopping += tasks_[slot].stop == StopPhase::kNone ? 0 : 1;
  }
  Check(entries == worker.lane_size, "a lane counts its entries");
  Check(stopping == worker.stopping, "a lane counts what it stops");
  Check(!worker.slow || worker.lane_size > 0, "an empty lane is not slow");
  Check(!worker.dedicated || worker.lane_size <= 1, "a dedicated worker has one task");
  Check(worker.watched == NeedsWatch(worker), "a lane that could stand still is watched");
  Check(worker.resting == worker.pool->resting.contains({worker.rest_end_ns, index}),
        "a pool knows who rests");
  Check(!worker.resting || worker.lane_size == 0, "a worker rests with an empty lane");
  const bool open = !worker.dying && !worker.slow && worker.stopping == 0 && !worker.retiring &&
                    !worker.dedicated && !worker.resting;
  Check(worker.place == (open ? worker.lane_size : kNone),
        "an open worker is on offer, no other is");
  if (worker.reserved_for != kNone) {
    Check(worker.dedicated && worker.lane_size == 0, "only an empty dedicated worker is reserved");
    Check(tasks_[worker.reserved_for].worker == index && tasks_[worker.reserved_for].starting,
          "a reserved worker's task knows it");
  }
}

void Scheduler::Impl::CheckPool(const Pool& pool) const {
  pool.ready.CheckInvariants();
  pool.ready_dedicated.CheckInvariants();
  pool.open.CheckInvariants();
  size_t dedicated = 0;
  size_t reserved = 0;
  for (const uint32_t index : pool.workers) {
    dedicated += workers_[index].dedicated ? 1 : 0;
    reserved += workers_[index].reserved_for == kNone ? 0 : 1;
  }
  Check(dedicated <= pool.dedicated_in_use, "dedicated workers are counted");
  Check(reserved == pool.reserved.size(), "reserved workers are known");
}

}  // namespace prefork::scheduler
