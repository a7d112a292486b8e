// How tasks come, wait, are given up and end. See scheduler.cc for the whole.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "server/scheduler/action.h"
#include "server/scheduler/check.h"
#include "server/scheduler/scheduler_impl.h"
#include "server/scheduler/task_state.h"
#include "server/scheduler/task_table.h"
#include "server/scheduler/types.h"

namespace prefork::scheduler {
namespace {

absl::Status CheckRetry(const RetryPolicy& retry) {
  if (retry.max_attempts < 1) {
    return absl::InvalidArgumentError("retry: max_attempts is 0; use 1 for a task without retries");
  }
  if (!std::isfinite(retry.backoff_multiplier) || retry.backoff_multiplier < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("retry: backoff_multiplier is ", retry.backoff_multiplier,
                     "; use a number that is not negative, such as 2"));
  }
  if (retry.backoff_ns < 0 || retry.max_backoff_ns < 0) {
    return absl::InvalidArgumentError("retry: backoff and max_backoff must not be negative");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Scheduler::Impl::Submit(TaskSlot slot, const TaskSpec& spec, int64_t now_ns) {
  SetNow(now_ns);
  Pool* pool = FindPool(spec.pool);
  if (pool == nullptr) {
    return absl::NotFoundError(absl::StrCat("no pool with key ", spec.pool));
  }
  if (absl::Status status = CheckRetry(spec.retry); !status.ok()) {
    return status;
  }
  if (pool->live >= pool->limits.max_queued) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the pool holds ", pool->live,
                     " unfinished tasks, as many as it may; submit again when some have ended"));
  }
  Task& task = tasks_.Add(slot);
  task.flow = flows_.Acquire(FlowKey{.pool = spec.pool,
                                     .client = spec.client,
                                     .priority = spec.priority,
                                     .dedicated = spec.dedicated});
  Flow& flow = flows_[task.flow];
  flow.pool = pool;
  flow.held = !held_clients_.empty() && held_clients_.contains(spec.client);
  task.policy = policies_.Acquire(PolicyKey{.timeout_ns = std::max<int64_t>(spec.timeout_ns, 0),
                                            .grace_ns = std::max<int64_t>(spec.grace_ns, 0),
                                            .retry = spec.retry});
  ++pool->live;
  ++pool->in_state[static_cast<size_t>(TaskState::kWaiting)];
  const bool delayed = spec.not_before_ns > now_ns_;
  if (delayed || spec.queue_timeout_ns > 0) {
    TaskDetails& details = DetailsOf(task);
    details.wake_ns = delayed ? spec.not_before_ns : 0;
    details.queue_deadline_ns =
        spec.queue_timeout_ns > 0 ? SaturatingAdd(now_ns_, spec.queue_timeout_ns) : 0;
  }
  if (!spec.after.empty() && !AddPredecessors(slot, spec.after)) {
    Settle(slot, task, EndCause::kDependencyFailed);
  } else if (delayed || (!spec.after.empty() && dependencies_.IsBlocked(slot))) {
    UpdateTimer(slot, task);
  } else {
    Enqueue(slot, task);
  }
  return absl::OkStatus();
}

bool Scheduler::Impl::AddPredecessors(TaskSlot slot, const std::vector<TaskSlot>& after) {
  for (const TaskSlot before : after) {
    Task* predecessor = before == slot ? nullptr : tasks_.Find(before);
    if (predecessor == nullptr ||
        (IsTerminal(predecessor->state) && predecessor->state != TaskState::kSucceeded)) {
      return false;
    }
    if (predecessor->state != TaskState::kSucceeded) {
      dependencies_.Add(before, slot);
      predecessor->has_successors = true;
    }
  }
  return true;
}

void Scheduler::Impl::Cancel(TaskSlot slot, EndCause cause, bool force, int64_t now_ns) {
  SetNow(now_ns);
  Check(IsCancel(cause), "a task is cancelled for a cause that means cancelled");
  Task* task = tasks_.Find(slot);
  if (task == nullptr || IsTerminal(task->state)) {
    return;
  }
  task->force = task->force || force;
  switch (task->state) {
    case TaskState::kWaiting:
      Settle(slot, *task, cause);
      return;
    case TaskState::kQueued:
      if (!task->starting) {
        QueueOf(*task).Remove(slot);
        Settle(slot, *task, cause);
      } else if (task->worker != kNone) {
        ReleaseReserved(task->worker);
        Settle(slot, *task, cause);
      } else {
        task->end = cause;
      }
      return;
    case TaskState::kDispatched:
      task->end = cause;
      Revoke(slot, *task);
      return;
    default:
      // A timeout may ask for another attempt, a cancel never; the first cancel's cause stays.
      if (!IsCancel(task->end)) {
        task->end = cause;
      }
      Stop(slot, *task);
  }
}

void Scheduler::Impl::HoldClient(ClientKey client, bool held, int64_t now_ns) {
  SetNow(now_ns);
  const bool changed = held ? held_clients_.insert(client).second : held_clients_.erase(client) > 0;
  if (!changed) {
    return;
  }
  flows_.ForEach([this, client, held](uint32_t index, Flow& flow) {
    if (flow.key.client != client) {
      return;
    }
    (flow.key.dedicated ? flow.pool->ready_dedicated : flow.pool->ready).Hold(index, held);
    MarkChanged(*flow.pool);
  });
}

void Scheduler::Impl::ForgetTask(TaskSlot slot) {
  const Task* task = tasks_.Find(slot);
  Check(task != nullptr && IsTerminal(task->state), "only a task that ended is forgotten");
  tasks_.Remove(slot);
}

void Scheduler::Impl::SetState(TaskSlot slot, Task& task, TaskState to) {
  Check(IsTransitionAllowed(task.state, to), "a task changes its state as its life allows");
  Pool& pool = PoolOf(task);
  --pool.in_state[static_cast<size_t>(task.state)];
  task.state = to;
  if (!IsTerminal(to)) {
    ++pool.in_state[static_cast<size_t>(to)];
    UpdateTimer(slot, task);
  }
}

void Scheduler::Impl::EmitState(TaskSlot slot, const Task& task) {
  actions_.push_back(Action{.kind = Action::Kind::kStateChanged,
                            .state = task.state,
                            .cause = IsTerminal(task.state) ? task.end : EndCause::kNone,
                            .task = slot,
                            .worker = task.worker == kNone ? kNone : workers_[task.worker].key,
                            .attempt = task.attempt});
}

ReadyQueue& Scheduler::Impl::QueueOf(const Task& task) {
  Pool& pool = PoolOf(task);
  return flows_[task.flow].key.dedicated ? pool.ready_dedicated : pool.ready;
}

void Scheduler::Impl::Enqueue(TaskSlot slot, Task& task) {
  SetState(slot, task, TaskState::kQueued);
  QueueOf(task).PushBack(slot);
  MarkChanged(PoolOf(task));
}

void Scheduler::Impl::Requeue(TaskSlot slot, Task& task) {
  SetState(slot, task, TaskState::kQueued);
  EmitState(slot, task);
  QueueOf(task).PutBack(slot);
  MarkChanged(PoolOf(task));
}

void Scheduler::Impl::EndAttempt(TaskSlot slot, Task& task, EndCause cause) {
  if (IsCrash(cause) && task.crashes < std::numeric_limits<uint16_t>::max()) {
    ++task.crashes;
  }
  const RetryPolicy& retry = PolicyOf(task).retry;
  if (!WantsRetry(retry, cause, task.attempt) ||
      (IsCrash(cause) && task.crashes >= PoolOf(task).limits.max_crashes)) {
    Settle(slot, task, cause);
    return;
  }
  const int64_t wake_ns = SaturatingAdd(now_ns_, BackoffNs(retry, task.attempt));
  actions_.push_back(Action{.kind = Action::Kind::kRetryScheduled,
                            .cause = cause,
                            .task = slot,
                            .attempt = task.attempt,
                            .at_ns = wake_ns});
  ++task.attempt;
  task.end = EndCause::kNone;
  TaskDetails& details = DetailsOf(task);
  details.wake_ns = wake_ns;
  details.queue_deadline_ns = 0;
  SetState(slot, task, TaskState::kWaiting);
  if (wake_ns <= now_ns_) {
    details.wake_ns = 0;
    Enqueue(slot, task);
  }
}

void Scheduler::Impl::Settle(TaskSlot slot, Task& task, EndCause cause) {
  if (task.state == TaskState::kWaiting) {
    dependencies_.Unblock(slot);
  }
  Pool& pool = PoolOf(task);
  task.end = cause;
  SetState(slot, task, TerminalStateOf(cause));
  --pool.live;
  if (pool.removed) {
    MarkChanged(pool);
  }
  DropDetails(task);
  flows_.Release(task.flow);
  policies_.Release(task.policy);
  task.flow = kNone;
  task.policy = kNone;
  EmitState(slot, task);
  if (task.has_successors) {
    ended_.push_back(slot);
    FollowEnds();
  }
}

void Scheduler::Impl::FollowEnds() {
  if (following_ends_) {
    return;  // the loop below, further up the stack, comes to it
  }
  following_ends_ = true;
  while (!ended_.empty()) {
    const TaskSlot ended = ended_.back();
    ended_.pop_back();
    const bool succeeded = tasks_[ended].state == TaskState::kSucceeded;
    for (TaskSlot slot = dependencies_.TakeSuccessor(ended); slot != kNone;
         slot = dependencies_.TakeSuccessor(ended)) {
      Task& task = tasks_[slot];
      if (!succeeded) {
        Settle(slot, task, EndCause::kDependencyFailed);
      } else if (!dependencies_.IsBlocked(slot) &&
                 (task.details == kNone || details_[task.details].wake_ns == 0)) {
        Enqueue(slot, task);
      }
    }
  }
  following_ends_ = false;
}

}  // namespace prefork::scheduler
