#ifndef PREFORK_SERVER_SCHEDULER_TYPES_H_
#define PREFORK_SERVER_SCHEDULER_TYPES_H_

#include <cstdint>
#include <string_view>
#include <vector>

// The words that the scheduler and its callers share. Pure data: no I/O, no clocks, no other part
// of the server.
namespace prefork::scheduler {

// Dense index of a task in the tables of engine and scheduler; reused after ForgetTask. The caller
// chooses it.
using TaskSlot = uint32_t;
// Whose turn it is in the fair share; where a submit came from is unknown here.
using ClientKey = uint32_t;
using PoolKey = uint32_t;
// A live worker. Never reused during the life of the scheduler: index and generation are the
// caller's affair.
using WorkerKey = uint32_t;
inline constexpr uint32_t kNone = 0xffffffff;

// The life of a task. kWaiting is QUEUED to the outside: its time, its backoff or its dependencies
// have not come.
enum class TaskState : uint8_t {
  kWaiting,
  kQueued,
  kDispatched,  // in a lane, not known to have begun
  kRunning,
  kSucceeded,
  kFailed,
  kCrashed,
  kTimedOut,
  kCancelled,
};
inline bool IsTerminal(TaskState state) { return state >= TaskState::kSucceeded; }
// "QUEUED", "DISPATCHED", ...; kWaiting is "QUEUED".
std::string_view TaskStateName(TaskState state);

// Why an attempt or a task ended. Retry policies name causes; exit reports show them.
enum class EndCause : uint8_t {
  kNone,
  kCompleted,    // the attempt finished with success
  kTaskError,    // the task's own error, or a command's non-zero exit
  kWorkerDied,   // exit code or signal nobody here asked for
  kOutOfMemory,  // killed for memory, proven by counters
  kTimeout,      // ran longer than its timeout
  kCancelledByClient,
  kClientGone,         // its session ended and the task was bound to it
  kProtocolViolation,  // the worker wrote nonsense into its lane
  kDependencyFailed,   // a task it was to run after did not succeed
  kQueueExpired,       // waited longer than its queue timeout
  kPoolDeleted,
  kShutdown,
  kStartFailed,    // its dedicated worker could not be started
  kInternalLimit,  // segments or memory ran out while carrying its payload
};
std::string_view EndCauseName(EndCause cause);  // "COMPLETED", "TASK_ERROR", ...

// Bits of RetryPolicy::on.
inline constexpr uint32_t kRetryOnTaskError = 1;
inline constexpr uint32_t kRetryOnCrash = 2;
inline constexpr uint32_t kRetryOnOutOfMemory = 4;
inline constexpr uint32_t kRetryOnTimeout = 8;

struct RetryPolicy {
  uint32_t max_attempts = 1;  // 1: no retry. 0 is not allowed
  uint32_t on = 0;            // bits above
  int64_t backoff_ns = 1'000'000'000;
  double backoff_multiplier = 2.0;
  int64_t max_backoff_ns = 60'000'000'000;

  friend bool operator==(const RetryPolicy&, const RetryPolicy&) = default;
};

// What the scheduler knows of a task. Times are CLOCK_MONOTONIC nanoseconds; zero means none.
struct TaskSpec {
  PoolKey pool = 0;
  ClientKey client = 0;
  int32_t priority = 0;    // larger runs first
  bool dedicated = false;  // a fresh process of its own, beside the pool's slots
  int64_t not_before_ns = 0;
  int64_t timeout_ns = 0;        // of one attempt's running time
  int64_t queue_timeout_ns = 0;  // from submit until it first runs
  int64_t grace_ns = 0;          // between the polite and the hard end
  RetryPolicy retry = {};
  std::vector<TaskSlot> after = {};  // these must succeed first
};

}  // namespace prefork::scheduler

#endif  // PREFORK_SERVER_SCHEDULER_TYPES_H_
