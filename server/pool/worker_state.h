#ifndef PREFORK_SERVER_POOL_WORKER_STATE_H_
#define PREFORK_SERVER_POOL_WORKER_STATE_H_

#include <cstdint>
#include <optional>

namespace prefork::pool {

// The life of a worker process. Idle or busy is a question of its lane, which its owner knows.
enum class WorkerState : uint8_t {
  kForking,   // the zygote was asked
  kStarting,  // it has a pid
  kReady,     // it takes tasks
  kRetiring,  // asked to end politely
  kDead,      // the process has ended; what it left behind is being cleared
  kExited,    // nothing of it is left
};

enum class WorkerEvent : uint8_t { kForked, kForkFailed, kReady, kRetire, kDied, kSettled };

const char* WorkerStateName(WorkerState state);

// The one table: the state after `event`, or nothing when it can't happen in `state`.
std::optional<WorkerState> NextState(WorkerState state, WorkerEvent event);

}  // namespace prefork::pool

#endif  // PREFORK_SERVER_POOL_WORKER_STATE_H_
