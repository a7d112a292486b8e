// How tasks are taken back from lanes and how running ones are stopped. See scheduler.cc for the
// whole.

#include <algorithm>
#include <cstdint>

#include "server/scheduler/action.h"
#include "server/scheduler/scheduler_impl.h"
#include "server/scheduler/task_table.h"
#include "server/scheduler/types.h"
#include "server/scheduler/workers.h"

namespace prefork::scheduler {
namespace {

// How long news may be on its way from a worker that has finished one entry and claimed the next. A
// worker that holds two claims for longer is beyond reason and is killed with both.
constexpr int64_t kClearingNs = 100'000'000;

}  // namespace

void Scheduler::Impl::Revoke(TaskSlot slot, Task& task) {
  if (task.revoking) {
    return;
  }
  task.revoking = true;
  has_requests_ = true;
  actions_.push_back(Action{.kind = Action::Kind::kRevoke,
                            .state = task.state,
                            .task = slot,
                            .worker = workers_[task.worker].key,
                            .attempt = task.attempt});
  UpdateWatch(workers_[task.worker]);
}

void Scheduler::Impl::RevokeUnclaimed(const Worker& worker, TaskSlot but) {
  // From the back: the worker claims from the front, so fewer revokes come too late.
  for (TaskSlot slot = worker.lane.back(); slot != kNone; slot = tasks_[slot].previous) {
    if (slot != but && tasks_[slot].state == TaskState::kDispatched) {
      Revoke(slot, tasks_[slot]);
    }
  }
}

void Scheduler::Impl::Stop(TaskSlot slot, Task& task) {
  Worker& worker = workers_[task.worker];
  if (task.stop == StopPhase::kNone) {
    task.stop = StopPhase::kClearing;
    ++worker.stopping;
    if (task.details != kNone) {
      details_[task.details].stop_ns = 0;
    }
    UpdateTimer(slot, task);
    RevokeUnclaimed(worker, kNone);
    LaneChanged(task.worker);
  }
  ProceedStop(slot, task);
}

void Scheduler::Impl::ProceedStop(TaskSlot slot, Task& task) {
  const Worker& worker = workers_[task.worker];
  if (worker.dying || task.stop == StopPhase::kKilling) {
    return;
  }
  const int64_t grace_ns = task.force ? 0 : PolicyOf(task).grace_ns;
  if (worker.lane_size > 1) {
    TaskDetails& details = DetailsOf(task);
    const int64_t limit_ns = SaturatingAdd(now_ns_, std::max(grace_ns, kClearingNs));
    details.stop_ns = details.stop_ns == 0 ? limit_ns : std::min(details.stop_ns, limit_ns);
    UpdateTimer(slot, task);
  } else if (grace_ns == 0) {
    Kill(slot, task);
  } else if (task.stop == StopPhase::kClearing) {
    task.stop = StopPhase::kAsked;
    has_requests_ = true;
    actions_.push_back(Action{.kind = Action::Kind::kAskToStop,
                              .state = task.state,
                              .cause = task.end,
                              .task = slot,
                              .worker = worker.key,
                              .attempt = task.attempt});
    DetailsOf(task).stop_ns = SaturatingAdd(now_ns_, grace_ns);
    UpdateTimer(slot, task);
  }
}

void Scheduler::Impl::Kill(TaskSlot slot, Task& task) {
  Worker& worker = workers_[task.worker];
  task.stop = StopPhase::kKilling;
  if (task.details != kNone) {
    details_[task.details].stop_ns = 0;
  }
  UpdateTimer(slot, task);
  if (worker.dying) {
    return;
  }
  worker.dying = true;
  has_requests_ = true;
  actions_.push_back(Action{.kind = Action::Kind::kKillWorker,
                            .state = task.state,
                            .cause = task.end,
                            .task = slot,
                            .worker = worker.key,
                            .attempt = task.attempt});
  LaneChanged(task.worker);
}

void Scheduler::Impl::LeaveStop(Task& task, Worker& worker) {
  if (task.stop != StopPhase::kNone) {
    task.stop = StopPhase::kNone;
    --worker.stopping;
  }
  if (task.details != kNone) {
    details_[task.details].stop_ns = 0;
  }
}

}  // namespace prefork::scheduler
