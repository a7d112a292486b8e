#include "server/rpc/enum_mapping.h"

#include <sys/resource.h>

namespace prefork::rpc {

using scheduler::EndCause;
using scheduler::TaskState;

v1::TaskState ToProto(TaskState state) {
  switch (state) {
    case TaskState::kWaiting:
    case TaskState::kQueued:
      return v1::TASK_STATE_QUEUED;
    case TaskState::kDispatched:
      return v1::TASK_STATE_DISPATCHED;
    case TaskState::kRunning:
      return v1::TASK_STATE_RUNNING;
    case TaskState::kSucceeded:
      return v1::TASK_STATE_SUCCEEDED;
    case TaskState::kFailed:
      return v1::TASK_STATE_FAILED;
    case TaskState::kCrashed:
      return v1::TASK_STATE_CRASHED;
    case TaskState::kTimedOut:
      return v1::TASK_STATE_TIMED_OUT;
    case TaskState::kCancelled:
      return v1::TASK_STATE_CANCELLED;
  }
  return v1::TASK_STATE_UNSPECIFIED;
}

v1::EndCause ToProto(EndCause cause) {
  switch (cause) {
    case EndCause::kNone:
      return v1::END_CAUSE_UNSPECIFIED;
    case EndCause::kCompleted:
      return v1::END_CAUSE_COMPLETED;
    case EndCause::kTaskError:
      return v1::END_CAUSE_TASK_ERROR;
    case EndCause::kWorkerDied:
      return v1::END_CAUSE_WORKER_DIED;
    case EndCause::kOutOfMemory:
      return v1::END_CAUSE_OUT_OF_MEMORY;
    case EndCause::kTimeout:
      return v1::END_CAUSE_TIMEOUT;
    case EndCause::kCancelledByClient:
      return v1::END_CAUSE_CANCELLED_BY_CLIENT;
    case EndCause::kClientGone:
      return v1::END_CAUSE_CLIENT_GONE;
    case EndCause::kProtocolViolation:
      return v1::END_CAUSE_PROTOCOL_VIOLATION;
    case EndCause::kDependencyFailed:
      return v1::END_CAUSE_DEPENDENCY_FAILED;
    case EndCause::kQueueExpired:
      return v1::END_CAUSE_QUEUE_EXPIRED;
    case EndCause::kPoolDeleted:
      return v1::END_CAUSE_POOL_DELETED;
    case EndCause::kShutdown:
      return v1::END_CAUSE_SHUTDOWN;
    case EndCause::kStartFailed:
      return v1::END_CAUSE_START_FAILED;
    case EndCause::kInternalLimit:
      return v1::END_CAUSE_INTERNAL_LIMIT;
  }
  return v1::END_CAUSE_UNSPECIFIED;
}

v1::OutputStream ToProto(engine::OutputStream stream) {
  switch (stream) {
    case engine::OutputStream::kStdout:
      return v1::OUTPUT_STREAM_STDOUT;
    case engine::OutputStream::kStderr:
      return v1::OUTPUT_STREAM_STDERR;
  }
  return v1::OUTPUT_STREAM_UNSPECIFIED;
}

v1::Runtime ToProto(pool::Runtime runtime) {
  switch (runtime) {
    case pool::Runtime::kCommand:
      return v1::RUNTIME_COMMAND;
    case pool::Runtime::kNative:
      return v1::RUNTIME_NATIVE;
    case pool::Runtime::kPython:
      return v1::RUNTIME_PYTHON;
  }
  return v1::RUNTIME_UNSPECIFIED;
}

v1::PoolState ToProto(engine::PoolState state) {
  switch (state) {
    case engine::PoolState::kStarting:
      return v1::POOL_STATE_STARTING;
    case engine::PoolState::kReady:
      return v1::POOL_STATE_READY;
    case engine::PoolState::kPaused:
      return v1::POOL_STATE_PAUSED;
    case engine::PoolState::kDraining:
      return v1::POOL_STATE_DRAINING;
    case engine::PoolState::kDegraded:
      return v1::POOL_STATE_DEGRADED;
    case engine::PoolState::kDeleted:
      return v1::POOL_STATE_DELETED;
  }
  return v1::POOL_STATE_UNSPECIFIED;
}

v1::WorkerState ToProto(engine::WorkerState state) {
  switch (state) {
    case engine::WorkerState::kStarting:
      return v1::WORKER_STATE_STARTING;
    case engine::WorkerState::kIdle:
      return v1::WORKER_STATE_IDLE;
    case engine::WorkerState::kBusy:
      return v1::WORKER_STATE_BUSY;
    case engine::WorkerState::kRetiring:
      return v1::WORKER_STATE_RETIRING;
    case engine::WorkerState::kExited:
      return v1::WORKER_STATE_EXITED;
  }
  return v1::WORKER_STATE_UNSPECIFIED;
}

v1::WorkerExitReason ToProto(pool::ExitReason reason) {
  switch (reason) {
    case pool::ExitReason::kNone:
      return v1::WORKER_EXIT_REASON_UNSPECIFIED;
    case pool::ExitReason::kRecycled:
      return v1::WORKER_EXIT_REASON_RECYCLED;
    case pool::ExitReason::kScaledDown:
      return v1::WORKER_EXIT_REASON_SCALED_DOWN;
    case pool::ExitReason::kCrashed:
      return v1::WORKER_EXIT_REASON_CRASHED;
    case pool::ExitReason::kOutOfMemory:
      return v1::WORKER_EXIT_REASON_OUT_OF_MEMORY;
    case pool::ExitReason::kTaskStopped:
      return v1::WORKER_EXIT_REASON_TASK_STOPPED;
    case pool::ExitReason::kProtocolViolation:
      return v1::WORKER_EXIT_REASON_PROTOCOL_VIOLATION;
    case pool::ExitReason::kStartFailed:
      return v1::WORKER_EXIT_REASON_START_FAILED;
    case pool::ExitReason::kDedicatedDone:
      return v1::WORKER_EXIT_REASON_DEDICATED_DONE;
    case pool::ExitReason::kShutdown:
      return v1::WORKER_EXIT_REASON_SHUTDOWN;
  }
  return v1::WORKER_EXIT_REASON_UNSPECIFIED;
}

std::optional<TaskState> FromProto(v1::TaskState state) {
  switch (state) {
    case v1::TASK_STATE_QUEUED:
      return TaskState::kQueued;
    case v1::TASK_STATE_DISPATCHED:
      return TaskState::kDispatched;
    case v1::TASK_STATE_RUNNING:
      return TaskState::kRunning;
    case v1::TASK_STATE_SUCCEEDED:
      return TaskState::kSucceeded;
    case v1::TASK_STATE_FAILED:
      return TaskState::kFailed;
    case v1::TASK_STATE_CRASHED:
      return TaskState::kCrashed;
    case v1::TASK_STATE_TIMED_OUT:
      return TaskState::kTimedOut;
    case v1::TASK_STATE_CANCELLED:
      return TaskState::kCancelled;
    default:
      return std::nullopt;
  }
}

std::optional<engine::OutputStream> FromProto(v1::OutputStream stream) {
  switch (stream) {
    case v1::OUTPUT_STREAM_STDOUT:
      return engine::OutputStream::kStdout;
    case v1::OUTPUT_STREAM_STDERR:
      return engine::OutputStream::kStderr;
    default:
      return std::nullopt;
  }
}

std::optional<pool::Runtime> FromProto(v1::Runtime runtime) {
  switch (runtime) {
    case v1::RUNTIME_COMMAND:
      return pool::Runtime::kCommand;
    case v1::RUNTIME_NATIVE:
      return pool::Runtime::kNative;
    case v1::RUNTIME_PYTHON:
      return pool::Runtime::kPython;
    default:
      return std::nullopt;
  }
}

std::optional<int> FromProto(v1::ResourceLimit::Resource resource) {
  switch (resource) {
    case v1::ResourceLimit::RESOURCE_CPU_SECONDS:
      return RLIMIT_CPU;
    case v1::ResourceLimit::RESOURCE_ADDRESS_SPACE:
      return RLIMIT_AS;
    case v1::ResourceLimit::RESOURCE_FILE_SIZE:
      return RLIMIT_FSIZE;
    case v1::ResourceLimit::RESOURCE_OPEN_FILES:
      return RLIMIT_NOFILE;
    case v1::ResourceLimit::RESOURCE_CORE_SIZE:
      return RLIMIT_CORE;
    case v1::ResourceLimit::RESOURCE_STACK_SIZE:
      return RLIMIT_STACK;
    case v1::ResourceLimit::RESOURCE_PROCESSES:
      return RLIMIT_NPROC;
    default:
      return std::nullopt;
  }
}

std::optional<v1::ResourceLimit::Resource> ResourceToProto(int rlimit) {
  for (int value = 1; value < v1::ResourceLimit::Resource_ARRAYSIZE; ++value) {
    const auto resource = static_cast<v1::ResourceLimit::Resource>(value);
    if (FromProto(resource) == rlimit) return resource;
  }
  return std::nullopt;
}

std::optional<uint32_t> FromProto(v1::RetryPolicy::Cause cause) {
  switch (cause) {
    case v1::RetryPolicy::CAUSE_TASK_ERROR:
      return scheduler::kRetryOnTaskError;
    case v1::RetryPolicy::CAUSE_CRASH:
      return scheduler::kRetryOnCrash;
    case v1::RetryPolicy::CAUSE_OUT_OF_MEMORY:
      return scheduler::kRetryOnOutOfMemory;
    case v1::RetryPolicy::CAUSE_TIMEOUT:
      return scheduler::kRetryOnTimeout;
    default:
      return std::nullopt;
  }
}

}  // namespace prefork::rpc
