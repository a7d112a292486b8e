// Which task goes to which worker. See scheduler.cc for the whole.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "server/scheduler/action.h"
#include "server/scheduler/scheduler_impl.h"
#include "server/scheduler/task_table.h"
#include "server/scheduler/types.h"
#include "server/scheduler/workers.h"

namespace prefork::scheduler {

void Scheduler::Impl::TakeActions(int64_t now_ns, std::vector<Action>* out) {
  SetNow(now_ns);
  for (Pool* pool : changed_pools_) {
    pool->changed = false;
    if (!pool->removed) {
      Dispatch(*pool);
    } else if (pool->live == 0 && pool->workers.empty()) {
      pools_.erase(pool->key);
    }
  }
  changed_pools_.clear();
  ReportIdleWorkers();
  if (has_requests_) {
    has_requests_ = false;
    std::erase_if(actions_, [this](const Action& action) { return IsOutdated(action); });
  }
  out->clear();
  out->swap(actions_);
}

bool Scheduler::Impl::IsOutdated(const Action& action) {
  switch (action.kind) {
    case Action::Kind::kRevoke: {
      const Task* task = FindInLane(action.worker, action.task);
      return task == nullptr || !task->revoking;
    }
    case Action::Kind::kAskToStop: {
      const Task* task = FindInLane(action.worker, action.task);
      return task == nullptr || task->stop != StopPhase::kAsked;
    }
    case Action::Kind::kKillWorker:
      return FindWorker(action.worker) == kNone;
    default:
      return false;
  }
}

void Scheduler::Impl::Dispatch(Pool& pool) {
  if (pool.paused) {
    return;
  }
  DispatchDedicated(pool);
  while (!pool.ready.empty()) {
    const uint32_t index = pool.open.Least();
    if ((index == kNone || workers_[index].lane_size > 0) && EndOldestRest(pool)) {
      continue;
    }
    if (index == kNone) {
      return;
    }
    Worker& worker = workers_[index];
    if (worker.lane_size >= pool.depth.depth()) {
      return;
    }
    if (worker.lane_size > 0 && now_ns_ - worker.moved_ns > pool.limits.lane_target_ns) {
      // Its first entry is known to be a long one: nothing goes behind it.
      worker.slow = true;
      LaneChanged(index);
      continue;
    }
    const TaskSlot slot = pool.ready.Pop();
    PutInLane(index, slot, tasks_[slot]);
  }
}

void Scheduler::Impl::DispatchDedicated(Pool& pool) {
  for (const uint32_t index : pool.reserved) {
    Worker& worker = workers_[index];
    const TaskSlot slot = worker.reserved_for;
    worker.reserved_for = kNone;
    tasks_[slot].starting = false;
    PutInLane(index, slot, tasks_[slot]);
  }
  pool.reserved.clear();
  while (!pool.ready_dedicated.empty() && pool.dedicated_in_use < pool.limits.max_dedicated) {
    const TaskSlot slot = pool.ready_dedicated.Pop();
    Task& task = tasks_[slot];
    task.starting = true;
    ++pool.dedicated_in_use;
    actions_.push_back(Action{.kind = Action::Kind::kStartDedicated,
                              .state = task.state,
                              .task = slot,
                              .attempt = task.attempt});
  }
}

void Scheduler::Impl::ReportIdleWorkers() {
  for (const WorkerKey key : emptied_) {
    const uint32_t index = FindWorker(key);
    if (index == kNone) {
      continue;
    }
    Worker& worker = workers_[index];
    worker.report_idle = false;
    if (worker.lane_size == 0 && worker.reserved_for == kNone && !worker.dying) {
      actions_.push_back(Action{.kind = Action::Kind::kWorkerIdle, .worker = key});
    }
  }
  emptied_.clear();
}

}  // namespace prefork::scheduler
