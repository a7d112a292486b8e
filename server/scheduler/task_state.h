#ifndef PREFORK_SERVER_SCHEDULER_TASK_STATE_H_
#define PREFORK_SERVER_SCHEDULER_TASK_STATE_H_

#include <cstdint>

#include "server/scheduler/types.h"

namespace prefork::scheduler {

// The transition table of a task, as drawn in task_state.cc.
bool IsTransitionAllowed(TaskState from, TaskState to);

// The terminal state that an end for this cause leads to.
TaskState TerminalStateOf(EndCause cause);

// True if the cancel causes: somebody wanted the task gone, whatever became of it meanwhile.
bool IsCancel(EndCause cause);

// True if the attempt took its worker along. Such ends count towards PoolLimits::max_crashes.
bool IsCrash(EndCause cause);

// True if `policy` wants another attempt after attempt number `attempt` ended with `cause`.
bool WantsRetry(const RetryPolicy& policy, EndCause cause, uint32_t attempt);

// How long to wait after attempt number `attempt` ended.
int64_t BackoffNs(const RetryPolicy& policy, uint32_t attempt);

}  // namespace prefork::scheduler

#endif  // PREFORK_SERVER_SCHEDULER_TASK_STATE_H_
