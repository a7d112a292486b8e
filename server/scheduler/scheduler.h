#ifndef PREFORK_SERVER_SCHEDULER_SCHEDULER_H_
#define PREFORK_SERVER_SCHEDULER_SCHEDULER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "server/scheduler/action.h"
#include "server/scheduler/types.h"

namespace prefork::scheduler {

struct PoolLimits {
  size_t max_queued = 2'000'000;       // tasks not yet terminal; over it Submit refuses
  uint32_t max_dedicated = 64;         // dedicated workers at once; the others wait
  int64_t lane_target_ns = 1'000'000;  // work to keep in one lane
  uint32_t max_lane_depth = 512;
  uint32_t max_crashes = 3;  // a task that killed this many workers is not retried any more
};

struct SchedulerCounts {
  size_t waiting = 0, queued = 0, dispatched = 0, running = 0;
  size_t workers = 0;
  size_t idle_workers = 0;     // with nothing in their lanes, and not retiring
  size_t resting_workers = 0;  // of those: the ones that did not take what they were given
};

// What is allocated in here. All zero once every task is forgotten and every pool and worker is
// gone.
struct SchedulerFootprint {
  size_t tasks = 0;         // slots in use
  size_t task_details = 0;  // tasks with times of their own
  size_t timers = 0;
  size_t flows = 0;         // pairs of client and priority with live tasks
  size_t policies = 0;      // distinct sets of timeout, grace and retry options
  size_t dependencies = 0;  // edges of `after`
  size_t workers = 0;
  size_t pools = 0;
};

// Decides which task runs where and when, and what follows from every end; the design note is in
// scheduler.cc. A pure state machine: events in, actions out. No I/O, no clock (each event carries
// `now_ns`, which never goes back), no threads. Actions gather until the caller takes them; calling
// in again while handling them is fine. Messages that come late (from a worker already dead, about
// a task already settled or no longer in that worker's lane) have no effect.
class Scheduler {
 public:
  Scheduler();
  ~Scheduler();

  // --- pools ---
  // Keys are not used again.
  void AddPool(PoolKey pool, const PoolLimits& limits);
  // Tasks not yet terminal are cancelled with kPoolDeleted and the workers retired.
  void RemovePool(PoolKey pool, int64_t now_ns);
  // Nothing new starts, entries not claimed come back by kRevoke; running tasks go on.
  void SetPaused(PoolKey pool, bool paused, int64_t now_ns);

  // --- tasks ---
  // RESOURCE_EXHAUSTED: the pool's queue is full. NOT_FOUND: no such pool. INVALID_ARGUMENT: the
  // retry policy makes no sense. Refusals leave no trace. `slot` must be free. A predecessor in
  // `after` that succeeded counts as done; one that ended otherwise or is unknown cancels the task
  // at once (kDependencyFailed).
  absl::Status Submit(TaskSlot slot, const TaskSpec& spec, int64_t now_ns);
  // Terminal at once when queued, after a revoke when dispatched, after the process stopped when
  // running, after the answer to kStartDedicated while its worker starts. A second call with
  // `force` skips the grace period. No effect on a terminal task.
  void Cancel(TaskSlot slot, EndCause cause, bool force, int64_t now_ns);
  // While `client` is held none of its tasks begins, in whatever pool: it does not take the results
  // that it has. What is in a lane already runs.
  void HoldClient(ClientKey client, bool held, int64_t now_ns);
  // A terminal task's slot may be used again.
  void ForgetTask(TaskSlot slot);
  // These three want a slot in use.
  TaskState state(TaskSlot slot) const;
  uint32_t attempt(TaskSlot slot) const;  // the one that runs or comes next; from 1
  WorkerKey worker(TaskSlot slot) const;  // kNone unless dispatched or running

  // --- what happened ---
  // `for_task`: kNone, or the dedicated task this worker was started for.
  void WorkerReady(WorkerKey worker, PoolKey pool, TaskSlot for_task, int64_t now_ns);
  void DedicatedFailed(TaskSlot task, int64_t now_ns);
  // No new tasks for this worker; entries not claimed come back by kRevoke. kWorkerIdle follows
  // when it is empty, at once if it is already.
  void RetireWorker(WorkerKey worker, int64_t now_ns);
  // After the lane was drained. `running` is the one claimed and unfinished task or kNone; `cause`
  // is why its attempt ended: kWorkerDied, kOutOfMemory, kProtocolViolation, or what its exit
  // means.
  void WorkerDied(WorkerKey worker, TaskSlot running, EndCause cause, int64_t now_ns);
  // `started_ns` is the worker's word and only trusted as far as it is not in the future.
  void Started(WorkerKey worker, TaskSlot task, int64_t started_ns, int64_t now_ns);
  // `cause`: kCompleted, kTaskError, kCancelledByClient (the task obeyed) or kInternalLimit (its
  // payload could not be carried; also before it was ever put into the lane). `run_ns` feeds the
  // lane depth.
  void Finished(WorkerKey worker, TaskSlot task, EndCause cause, int64_t run_ns, int64_t now_ns);
  // The answers to kRevoke; before anything that the lane reports later, and before WorkerDied.
  // Revoked is also the answer to a kDispatch that found the lane full: the worker then gets nothing
  // more until its lane has moved. A task that does not fit into an empty lane is Finished with
  // kInternalLimit instead.
  void Revoked(WorkerKey worker, TaskSlot task, int64_t now_ns);
  void RevokeRefused(WorkerKey worker, TaskSlot task, int64_t now_ns);  // it was claimed: it runs

  // --- time ---
  // The earliest deadline (timeouts, delays, grace, a lane that does not move, the end of a rest
  // that a task waits for), or INT64_MAX. In the past when news came later than the deadline it
  // concerns: call AdvanceTo then.
  int64_t NextDeadlineNs() const;
  void AdvanceTo(int64_t now_ns);

  // --- out ---
  // Decides dispatches for what changed since the last call and returns everything to be done since
  // the last TakeActions. `out` is cleared and swapped, so its memory is reused.
  void TakeActions(int64_t now_ns, std::vector<Action>* out);

  SchedulerCounts counts(PoolKey pool) const;  // zero for an unknown pool
  uint32_t lane_depth(PoolKey pool) const;  // entries a lane may hold now; zero for an unknown pool
  SchedulerFootprint footprint() const;
  // Aborts on a broken invariant: for tests and the simulation.
  void CheckInvariants() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace prefork::scheduler

#endif  // PREFORK_SERVER_SCHEDULER_SCHEDULER_H_
