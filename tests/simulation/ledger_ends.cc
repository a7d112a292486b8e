// How attempts end: each for a cause that was given, and repeated when its policy says so.

#include <cstdint>

#include "server/scheduler/check.h"
#include "server/scheduler/types.h"
#include "tests/simulation/ledger.h"

namespace prefork::simulation {

using scheduler::Check;
using scheduler::IsTerminal;

namespace {

bool IsCrash(EndCause cause) {
  return cause == EndCause::kWorkerDied || cause == EndCause::kOutOfMemory ||
         cause == EndCause::kProtocolViolation;
}

}  // namespace

void Ledger::ApplyRetry(const Action& action, int64_t now_ns) {
  TaskRecord& task = tasks_[action.task];
  Check(!IsTerminal(task.state) && task.worker == kNone, "a task is retried after its attempt");
  Check(action.attempt == task.attempt, "a retry names the attempt that ended");
  Check(task.cancel == EndCause::kNone || action.attempt < task.cancelled_attempt,
        "a cancelled task is not retried");
  CheckCause(task, action.cause, now_ns);
  Check(ShouldRetry(task, action.cause), "a task is retried when its policy says so");
  task.crashes += IsCrash(action.cause) ? 1 : 0;
  ++task.attempt;
  task.starting = false;
  task.reserved_by = kNone;
  task.reported = EndCause::kNone;
  task.started_ns = -1;
  task.asked = false;
  task.ran = true;  // its queue timeout is over for good
  task.wake_ns = action.at_ns;
  if (action.at_ns > now_ns) {
    task.state = TaskState::kWaiting;
    waiting_.push_back(action.task);
  } else {
    task.state = TaskState::kQueued;
    task.order = ++last_order_;
    Queue(action.task, /*put_back=*/false);
  }
}

void Ledger::CheckEnd(const TaskRecord& task, const Action& action, int64_t now_ns) const {
  Check(task.worker == kNone, "a task that ended has left its lane");
  for (const auto& [key, worker] : *workers_) {
    Check(!worker->Holds(action.task), "a task that ended is in no lane");
  }
  Check(task.cancel == EndCause::kNone || action.state == TaskState::kCancelled,
        "a cancelled task ends CANCELLED");
  CheckCause(task, action.cause, now_ns);
  Check(!ShouldRetry(task, action.cause), "an attempt that is to be repeated is repeated");
  TaskState expected = TaskState::kCancelled;
  switch (action.cause) {
    case EndCause::kCompleted:
      expected = TaskState::kSucceeded;
      break;
    case EndCause::kTaskError:
    case EndCause::kInternalLimit:
      expected = TaskState::kFailed;
      break;
    case EndCause::kWorkerDied:
    case EndCause::kOutOfMemory:
    case EndCause::kProtocolViolation:
    case EndCause::kStartFailed:
      expected = TaskState::kCrashed;
      break;
    case EndCause::kTimeout:
    case EndCause::kQueueExpired:
      expected = TaskState::kTimedOut;
      break;
    default:
      break;
  }
  Check(action.state == expected, "a cause and a state belong together");
}

void Ledger::CheckCause(const TaskRecord& task, EndCause cause, int64_t now_ns) const {
  switch (cause) {
    case EndCause::kCancelledByClient:
    case EndCause::kClientGone:
    case EndCause::kPoolDeleted:
      Check(task.cancel != EndCause::kNone, "a task is cancelled when somebody cancelled it");
      return;
    case EndCause::kDependencyFailed:
      Check(task.predecessor_failed || !task.waits_for.empty(),
            "a task falls with a predecessor only");
      for (const TaskSlot before : task.waits_for) {
        Check(tasks_[before].state != TaskState::kSucceeded, "a successful task fells nobody");
      }
      return;
    case EndCause::kQueueExpired:
      Check(task.spec.queue_timeout_ns > 0 && !task.ran &&
                now_ns >= task.submitted_ns + task.spec.queue_timeout_ns,
            "a task expires in the queue when it was there too long");
      return;
    case EndCause::kTimeout:
      Check(task.spec.timeout_ns > 0 && task.started_ns >= 0 &&
                now_ns >= task.started_ns + task.spec.timeout_ns,
            "a task times out when it ran too long");
      return;
    case EndCause::kTaskError:
      Check(task.reported == EndCause::kTaskError || task.reported == EndCause::kCancelledByClient,
            "a task fails when its worker says so");
      return;
    case EndCause::kCompleted:
      Check(task.reported == EndCause::kCompleted, "a task succeeds when its worker says so");
      Check(!task.asked || task.reported_run_ns < task.spec.timeout_ns,
            "a task that was stopped does not succeed, but for one that ended in time");
      return;
    default:
      Check(cause != EndCause::kNone && task.reported == cause,
            "a task ends for the cause that was reported");
  }
}

bool Ledger::ShouldRetry(const TaskRecord& task, EndCause cause) const {
  uint32_t wish = 0;
  if (cause == EndCause::kTaskError) {
    wish = scheduler::kRetryOnTaskError;
  } else if (cause == EndCause::kOutOfMemory) {
    wish = scheduler::kRetryOnOutOfMemory;
  } else if (cause == EndCause::kTimeout) {
    wish = scheduler::kRetryOnTimeout;
  } else if (IsCrash(cause) || cause == EndCause::kStartFailed) {
    wish = scheduler::kRetryOnCrash;
  }
  return (task.spec.retry.on & wish) != 0 && task.attempt < task.spec.retry.max_attempts &&
         !(IsCrash(cause) && task.crashes + 1 >= pools_.at(task.spec.pool).limits.max_crashes);
}

}  // namespace prefork::simulation
