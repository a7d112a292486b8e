// Everything that happens because time passes. See scheduler.cc for the whole.
//
// A task has one timer at most: for the earliest of what may happen to it in its present state.

#include <algorithm>
#include <cstdint>
#include <utility>

#include "server/scheduler/scheduler_impl.h"
#include "server/scheduler/task_state.h"
#include "server/scheduler/task_table.h"
#include "server/scheduler/types.h"
#include "server/scheduler/workers.h"

namespace prefork::scheduler {

TaskDetails& Scheduler::Impl::DetailsOf(Task& task) {
  if (task.details == kNone) {
    task.details = details_.Add();
  }
  return details_[task.details];
}

void Scheduler::Impl::DropDetails(Task& task) {
  if (task.details == kNone) {
    return;
  }
  if (const uint32_t timer = details_[task.details].timer; timer != kNone) {
    timers_.Remove(timer);
  }
  details_.Remove(task.details);
  task.details = kNone;
}

int64_t Scheduler::Impl::DeadlineOf(const Task& task, const TaskDetails& details) const {
  const auto or_never = [](int64_t at_ns) { return at_ns > 0 ? at_ns : kNever; };
  switch (task.state) {
    case TaskState::kWaiting:
      return std::min(or_never(details.wake_ns), or_never(details.queue_deadline_ns));
    case TaskState::kQueued:
    case TaskState::kDispatched:
      return or_never(details.queue_deadline_ns);
    case TaskState::kRunning:
      return or_never(details.stop_ns);
    default:
      return kNever;
  }
}

void Scheduler::Impl::UpdateTimer(TaskSlot slot, Task& task) {
  if (task.details == kNone) {
    return;
  }
  TaskDetails& details = details_[task.details];
  const int64_t at_ns = DeadlineOf(task, details);
  if (at_ns == kNever) {
    if (details.timer != kNone) {
      timers_.Remove(std::exchange(details.timer, kNone));
    }
  } else if (details.timer == kNone) {
    details.timer = timers_.Add(at_ns, slot);
  } else {
    timers_.Move(details.timer, at_ns);
  }
}

int64_t Scheduler::Impl::NextDeadlineNs() const {
  const int64_t next_ns = std::min(timers_.empty() ? kNever : timers_.next_ns(), lane_check_ns_);
  return resting_ == 0 ? next_ns : std::min(next_ns, NextRestEndNs());
}

void Scheduler::Impl::AdvanceTo(int64_t now_ns) {
  SetNow(now_ns);
  while (!timers_.empty() && timers_.next_ns() <= now_ns_) {
    const TaskSlot slot = timers_.next_task();
    OnDeadline(slot, tasks_[slot]);
  }
  if (lane_check_ns_ <= now_ns_) {
    RevokeStandingLanes();
  }
  if (resting_ > 0) {
    EndRests();
  }
}

void Scheduler::Impl::OnDeadline(TaskSlot slot, Task& task) {
  TaskDetails& details = details_[task.details];
  if (task.state == TaskState::kRunning) {
    if (task.stop != StopPhase::kNone) {
      Kill(slot, task);
    } else {
      if (!IsCancel(task.end)) {
        task.end = EndCause::kTimeout;
      }
      Stop(slot, task);
    }
  } else if (details.queue_deadline_ns > 0 && details.queue_deadline_ns <= now_ns_) {
    details.queue_deadline_ns = 0;
    UpdateTimer(slot, task);
    ExpireInQueue(slot, task);
  } else {
    details.wake_ns = 0;
    if (dependencies_.IsBlocked(slot)) {
      UpdateTimer(slot, task);
    } else {
      Enqueue(slot, task);
    }
  }
}

void Scheduler::Impl::ExpireInQueue(TaskSlot slot, Task& task) {
  if (task.state == TaskState::kDispatched || (task.starting && task.worker == kNone)) {
    // Settled by the answer: to the revoke, or to the start of its worker.
    if (task.end == EndCause::kNone) {
      task.end = EndCause::kQueueExpired;
    }
    if (task.state == TaskState::kDispatched) {
      Revoke(slot, task);
    }
    return;
  }
  if (task.starting) {
    ReleaseReserved(task.worker);
  } else if (task.state == TaskState::kQueued) {
    QueueOf(task).Remove(slot);
  }
  Settle(slot, task, EndCause::kQueueExpired);
}

}  // namespace prefork::scheduler
