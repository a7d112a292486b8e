#ifndef PREFORK_SERVER_SCHEDULER_ACTION_H_
#define PREFORK_SERVER_SCHEDULER_ACTION_H_

#include <cstdint>

#include "server/scheduler/types.h"

namespace prefork::scheduler {

// What the caller has to do next, in this order. A flat struct: a million of them a second pass by.
struct Action {
  enum class Kind : uint8_t {
    kDispatch,        // put `task` (attempt `attempt`) into `worker`'s lane
    kRevoke,          // take `task` back from `worker`'s lane; answer with Revoked or RevokeRefused
    kAskToStop,       // running `task` on `worker`: set the cancelled flag and send SIGTERM to its tree (not to the lane's others)
    kKillWorker,      // kill `worker`'s whole process tree now; WorkerDied follows
    kStartDedicated,  // start a worker for `task` alone; answer with WorkerReady(for_task) or DedicatedFailed
    kStateChanged,    // `task` is in `state` now (`cause` when terminal); tell whoever listens
    kRetryScheduled,  // attempt `attempt` ended with `cause`; another begins at `at_ns`
    kWorkerIdle,      // `worker` has nothing in its lane: retire or recycle it if you want to
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
