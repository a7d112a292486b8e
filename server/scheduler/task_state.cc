// The life of a task.
//
//             submit                                     every state on the right is terminal
//               |
//        +------+------+
//        v             v
//    kWaiting ----> kQueued ----> kDispatched ----> kRunning ----> kSucceeded kFailed kCrashed
//        ^             ^               |                |          kTimedOut kCancelled
//        |             +--- revoked, --+                |
//        |                  died unclaimed              |
//        +------------------ another attempt -----------+
//
// A dispatched task may end without ever having been seen running: tiny tasks do not announce their
// start. Running to queued happens only when a worker announced a task that it had not claimed and
// that could be taken back therefore; the claim word is believed, the worker is not.

#include "server/scheduler/task_state.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "server/scheduler/types.h"

namespace prefork::scheduler {
namespace {

constexpr size_t kStates = static_cast<size_t>(TaskState::kCancelled) + 1;

constexpr bool kAllowed[kStates][kStates] = {
    // to: Waiting Queued Dispatched Running Succeeded Failed Crashed TimedOut Cancelled
    {false, true, false, false, false, false, false, true, true},     // from kWaiting
    {true, false, true, false, false, false, true, true, true},       // from kQueued
    {true, true, false, true, true, true, true, true, true},          // from kDispatched
    {true, true, false, false, true, true, true, true, true},         // from kRunning
    {false, false, false, false, false, false, false, false, false},  // from kSucceeded
    {false, false, false, false, false, false, false, false, false},  // from kFailed
    {false, false, false, false, false, false, false, false, false},  // from kCrashed
    {false, false, false, false, false, false, false, false, false},  // from kTimedOut
    {false, false, false, false, false, false, false, false, false},  // from kCancelled
};

// The bit of RetryPolicy::on that stands for `cause`; 0 when nothing asks for another attempt.
uint32_t RetryBit(EndCause cause) {
  switch (cause) {
    case EndCause::kTaskError:
      return kRetryOnTaskError;
    case EndCause::kWorkerDied:
    case EndCause::kProtocolViolation:
    case EndCause::kStartFailed:
      return kRetryOnCrash;
    case EndCause::kOutOfMemory:
      return kRetryOnOutOfMemory;
    case EndCause::kTimeout:
      return kRetryOnTimeout;
    default:
      return 0;
  }
}

}  // namespace

bool IsTransitionAllowed(TaskState from, TaskState to) {
  return kAllowed[static_cast<size_t>(from)][static_cast<size_t>(to)];
}

TaskState TerminalStateOf(EndCause cause) {
  switch (cause) {
    case EndCause::kCompleted:
      return TaskState::kSucceeded;
    case EndCause::kNone:
    case EndCause::kTaskError:
    case EndCause::kInternalLimit:
      return TaskState::kFailed;
    case EndCause::kWorkerDied:
    case EndCause::kOutOfMemory:
    case EndCause::kProtocolViolation:
    case EndCause::kStartFailed:
      return TaskState::kCrashed;
    case EndCause::kTimeout:
    case EndCause::kQueueExpired:
      return TaskState::kTimedOut;
    case EndCause::kCancelledByClient:
    case EndCause::kClientGone:
    case EndCause::kDependencyFailed:
    case EndCause::kPoolDeleted:
    case EndCause::kShutdown:
      return TaskState::kCancelled;
  }
  return TaskState::kFailed;
}

bool IsCancel(EndCause cause) { return TerminalStateOf(cause) == TaskState::kCancelled; }

bool IsCrash(EndCause cause) {
  return cause == EndCause::kWorkerDied || cause == EndCause::kOutOfMemory ||
         cause == EndCause::kProtocolViolation;
}

bool WantsRetry(const RetryPolicy& policy, EndCause cause, uint32_t attempt) {
  return attempt < policy.max_attempts && (policy.on & RetryBit(cause)) != 0;
}

int64_t BackoffNs(const RetryPolicy& policy, uint32_t attempt) {
  const double backoff =
      static_cast<double>(policy.backoff_ns) * std::pow(policy.backoff_multiplier, attempt - 1);
  // Written so that infinity ends at the maximum too.
  return backoff < static_cast<double>(policy.max_backoff_ns) ? static_cast<int64_t>(backoff)
                                                              : policy.max_backoff_ns;
}

}  // namespace prefork::scheduler
