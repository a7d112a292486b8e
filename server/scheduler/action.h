#ifndef PREFORK_SERVER_SCHEDULER_ACTION_H_
#define PREFORK_SERVER_SCHEDULER_ACTION_H_

#include <cstdint>

#include "server/scheduler/types.h"

namespace prefork::scheduler {

// What the caller has to do next, in this order. A flat struct: a million of them a second pass by.
struct Action {
  enum class Kind : uint8_t {
    // Put `task` (attempt `attempt`) into `worker`'s lane. It is DISPATCHED now; no kStateChanged
    // says so.
    kDispatch,
    // Take `task` back from `worker`'s lane; answer with Revoked or RevokeRefused.
    kRevoke,
    // Set the cancelled flag of running `task` and send SIGTERM to its tree. Nothing else is in the
    // lane.
    kAskToStop,
    // Kill `worker`'s whole process tree now; WorkerDied follows.
    kKillWorker,
    // Start a worker for `task` alone; answer with WorkerReady(for_task) or DedicatedFailed.
    kStartDedicated,
    // `task` is in `state` now: kRunning on `worker`, kQueued (it came back from a lane), or
    // terminal with `cause`. Tell whoever listens.
    kStateChanged,
    // Attempt `attempt` of `task` ended with `cause`; another begins at `at_ns`. It is QUEUED until
    // then.
    kRetryScheduled,
    // `worker` has nothing in its lane: retire or recycle it if you want to. Sent when it becomes
    // empty and is given nothing new; a dedicated worker has done its duty then.
    kWorkerIdle,
    // `worker`, trusted until now, left `task` unclaimed for so long that it was taken back. It gets
    // nothing until `at_ns`. For those who look; nothing has to be done.
    kWorkerRests,
  };
  Kind kind;
  TaskState state = TaskState::kQueued;
  EndCause cause = EndCause::kNone;
  TaskSlot task = kNone;
  WorkerKey worker = kNone;
  uint32_t attempt = 0;
  bool notify_start = false;  // kDispatch: have the worker announce the start and measure the task
  int64_t at_ns = 0;
};

}  // namespace prefork::scheduler

#endif  // PREFORK_SERVER_SCHEDULER_ACTION_H_
