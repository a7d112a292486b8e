#include "server/scheduler/types.h"

#include <string_view>

namespace prefork::scheduler {

std::string_view TaskStateName(TaskState state) {
  switch (state) {
    case TaskState::kWaiting:
    case TaskState::kQueued:
      return "QUEUED";
    case TaskState::kDispatched:
      return "DISPATCHED";
    case TaskState::kRunning:
      return "RUNNING";
    case TaskState::kSucceeded:
      return "SUCCEEDED";
    case TaskState::kFailed:
      return "FAILED";
    case TaskState::kCrashed:
      return "CRASHED";
    case TaskState::kTimedOut:
      return "TIMED_OUT";
    case TaskState::kCancelled:
      return "CANCELLED";
  }
  return "UNKNOWN";
}

std::string_view EndCauseName(EndCause cause) {
  switch (cause) {
    case EndCause::kNone:
      return "NONE";
    case EndCause::kCompleted:
      return "COMPLETED";
    case EndCause::kTaskError:
      return "TASK_ERROR";
    case EndCause::kWorkerDied:
      return "WORKER_DIED";
    case EndCause::kOutOfMemory:
      return "OUT_OF_MEMORY";
    case EndCause::kTimeout:
      return "TIMEOUT";
    case EndCause::kCancelledByClient:
      return "CANCELLED_BY_CLIENT";
    case EndCause::kClientGone:
      return "CLIENT_GONE";
    case EndCause::kProtocolViolation:
      return "PROTOCOL_VIOLATION";
    case EndCause::kDependencyFailed:
      return "DEPENDENCY_FAILED";
    case EndCause::kQueueExpired:
      return "QUEUE_EXPIRED";
    case EndCause::kPoolDeleted:
      return "POOL_DELETED";
    case EndCause::kShutdown:
      return "SHUTDOWN";
    case EndCause::kStartFailed:
      return "START_FAILED";
    case EndCause::kInternalLimit:
      return "INTERNAL_LIMIT";
  }
  return "UNKNOWN";
}

}  // namespace prefork::scheduler
