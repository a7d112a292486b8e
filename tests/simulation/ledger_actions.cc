// What the scheduler does, action by action.

#include <cstdint>

#include "server/scheduler/check.h"
#include "server/scheduler/types.h"
#include "tests/simulation/ledger.h"

namespace prefork::simulation {

using scheduler::Check;
using scheduler::IsTerminal;

void Ledger::Apply(const Action& action, int64_t now_ns) {
  switch (action.kind) {
    case Action::Kind::kDispatch:
      ApplyDispatch(action, now_ns);
      return;
    case Action::Kind::kStartDedicated: {
      TaskRecord& task = tasks_[action.task];
      PoolRecord& pool = pools_.at(task.spec.pool);
      Choose(action.task);
      Check(task.spec.dedicated, "only a dedicated task gets a worker of its own");
      Check(!pool.paused && !pool.removed, "nothing starts in a paused or removed pool");
      Check(++pool.dedicated <= pool.limits.max_dedicated, "dedicated workers are limited");
      task.starting = true;
      return;
    }
    case Action::Kind::kAskToStop:
    case Action::Kind::kKillWorker: {
      TaskRecord& task = tasks_[action.task];
      Check(task.state == TaskState::kRunning, "only a running task is stopped");
      // A kill stands once it is decided, even if the task ends before the engine reads of it.
      Check(task.worker == action.worker ||
                (task.worker == kNone && action.kind == Action::Kind::kKillWorker),
            "a task is stopped where it runs");
      CheckCause(task, action.cause, now_ns);
      task.asked = true;
      return;
    }
    case Action::Kind::kStateChanged:
      ApplyStateChange(action, now_ns);
      return;
    case Action::Kind::kRetryScheduled:
      ApplyRetry(action, now_ns);
      return;
    case Action::Kind::kRevoke:
      Check(tasks_[action.task].worker == action.worker, "a task is taken back from its lane");
      tasks_[action.task].revoking = true;
      return;
    case Action::Kind::kWorkerIdle: {
      const auto it = workers_->find(action.worker);
      if (it == workers_->end()) {
        return;  // its death was reported since
      }
      Check(it->second->assigned == 0, "an idle worker has nothing in its lane");
      Check(!it->second->idle_reported, "a worker becomes idle once");
      return;
    }
    case Action::Kind::kWorkerRests:
      Check(action.at_ns > now_ns && action.at_ns <= now_ns + kLongestRestNs,
            "a rest lasts a while, not for ever");
      return;
  }
}

void Ledger::ApplyDispatch(const Action& action, int64_t now_ns) {
  TaskRecord& task = tasks_[action.task];
  const PoolRecord& pool = pools_.at(task.spec.pool);
  Check(task.worker == kNone, "a task is in one lane at most");
  Check(action.attempt == task.attempt, "a dispatch names the attempt");
  Check(task.cancel == EndCause::kNone, "a cancelled task is not dispatched");
  Check(!pool.paused && !pool.removed, "nothing starts in a paused or removed pool");
  const auto it = workers_->find(action.worker);
  Check(it != workers_->end(), "a dispatch goes to a worker that is not known to be dead");
  const FakeWorker& worker = *it->second;
  Check(worker.pool() == task.spec.pool && !worker.retired && !worker.killed,
        "a worker takes tasks of its pool");
  Check(worker.dedicated() == task.spec.dedicated, "a dedicated task has a worker of its own");
  if (task.spec.dedicated) {
    Check(task.starting && task.reserved_by == action.worker, "a dedicated worker has its task");
    Check(action.notify_start, "a dedicated task announces its start");
  } else {
    Choose(action.task);
    Check(worker.assigned < scheduler_->lane_depth(task.spec.pool), "a lane is not too deep");
    Check(action.notify_start ||
              (scheduler_->lane_depth(task.spec.pool) > 1 && task.spec.timeout_ns == 0),
          "a start that matters is announced");
    if (worker.assigned > 0) {
      Check(now_ns - worker.moved_ns <= pool.limits.lane_target_ns,
            "nothing goes behind a long task");
      for (const auto& [key, other] : *workers_) {
        Check(other->pool() != worker.pool() || other->dedicated() || other->retired ||
                  other->killed || other->assigned > 0 || other->suspect || key == worker.key(),
              "an idle worker comes first");
      }
    }
  }
  task.starting = false;
  task.reserved_by = kNone;
  task.state = TaskState::kDispatched;
  task.worker = action.worker;
  task.reported = EndCause::kNone;
  task.started_ns = -1;
  task.asked = false;
  task.revoking = false;
}

void Ledger::ApplyStateChange(const Action& action, int64_t now_ns) {
  TaskRecord& task = tasks_[action.task];
  Check(!IsTerminal(task.state), "nothing is said of a task after its end");
  Check(action.attempt == task.attempt, "a state change names the attempt");
  if (action.state == TaskState::kRunning) {
    Check(task.state == TaskState::kDispatched && task.started_ns >= 0,
          "a task runs when its start was reported");
    task.state = TaskState::kRunning;
    return;
  }
  if (action.state == TaskState::kQueued) {
    Check(task.worker == kNone && task.reported == EndCause::kNone,
          "a task is queued again when it came back from its lane");
    task.state = TaskState::kQueued;
    const auto it = workers_->find(action.worker);
    if (task.spec.dedicated && it != workers_->end() && !it->second->retired) {
      task.starting = true;
      task.reserved_by = action.worker;
    } else {
      Queue(action.task, /*put_back=*/true);
    }
    return;
  }
  Check(IsTerminal(action.state), "a state change is one that is to be announced");
  CheckEnd(task, action, now_ns);
  if (task.state == TaskState::kQueued && !task.starting) {
    Abandon(action.task);
  }
  if (task.state == TaskState::kWaiting) {
    std::erase(waiting_, action.task);
  }
  task.state = action.state;
  task.starting = false;
  task.reserved_by = kNone;
  for (TaskRecord& other : tasks_) {
    if (std::erase(other.waits_for, action.task) > 0 && task.state != TaskState::kSucceeded) {
      other.predecessor_failed = true;
    }
  }
}

}  // namespace prefork::simulation
