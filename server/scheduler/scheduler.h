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
  size_t max_queued = 2'000'000;  // tasks not yet terminal; over it Submit refuses
  uint32_t max_dedicated = 64;    // dedicated workers at once; the others wait
  int64_t lane_target_ns = 1'000'000;  // work to keep in one lane
  uint32_t max_lane_depth = 512;
  uint32_t max_crashes = 3;       // a task that killed this many workers is not retried any more
};

struct SchedulerCounts {
  size_t waiting = 0, queued = 0, dispatched = 0, running = 0;
  size_t workers = 0, idle_workers = 0;
};

// Decides which task runs where and when, and what follows from every end; the design note is in scheduler.cc.
// A pure state machine: events in, actions out. No I/O, no clock (each event carries `now_ns`, which never goes back), no
// threads. Actions gather in actions() until the caller takes them; calling in again while handling them is fine.
class Scheduler {
 public:
  Scheduler();
  ~Scheduler();

  // --- pools ---
  void AddPool(PoolKey pool, const PoolLimits& limits);
  // Tasks not yet terminal are cancelled with kPoolDeleted.
  void RemovePool(PoolKey pool, int64_t now_ns);
  void SetPaused(PoolKey pool, bool paused, int64_t now_ns);  // nothing new starts; running tasks go on

  // --- tasks ---
  // RESOURCE_EXHAUSTED: the pool's queue is full. `slot` must be free. Refusals leave no trace.
  absl::Status Submit(TaskSlot slot, const TaskSpec& spec, int64_t now_ns);
  // Terminal at once when queued, after a revoke when dispatched, after the process stopped when running. A second
  // call with `force` skips the grace period. No effect on a terminal task.
  void Cancel(TaskSlot slot, EndCause cause, bool force, int64_t now_ns);
  // A terminal task's slot may be used again.
  void ForgetTask(TaskSlot slot);
  TaskState state(TaskSlot slot) const;
  uint32_t attempt(TaskSlot slot) const;
  WorkerKey worker(TaskSlot slot) const;  // kNone unless dispatched or running

  // --- what happened ---
  void WorkerReady(WorkerKey worker, PoolKey pool, TaskSlot for_task, int64_t now_ns);  // for_task: kNone or the dedicated task
  void DedicatedFailed(TaskSlot task, int64_t now_ns);
  // No new tasks for this worker; entries not claimed come back by kRevoke. kWorkerIdle follows when it is empty.
  void RetireWorker(WorkerKey worker, int64_t now_ns);
  // After the lane was drained. `running` is the one claimed and unfinished task or kNone; `cause` is why the worker died.
  void WorkerDied(WorkerKey worker, TaskSlot running, EndCause cause, int64_t now_ns);
  void Started(WorkerKey worker, TaskSlot task, int64_t started_ns, int64_t now_ns);
  // `cause` kCompleted, kTaskError or kCancelledByClient (the task obeyed); `run_ns` feeds the lane depth.
  void Finished(WorkerKey worker, TaskSlot task, EndCause cause, int64_t run_ns, int64_t now_ns);
  void Revoked(WorkerKey worker, TaskSlot task, int64_t now_ns);
  void RevokeRefused(WorkerKey worker, TaskSlot task, int64_t now_ns);  // it was claimed: it runs

  // --- time ---
  // The earliest deadline (timeouts, delays, grace, a lane that stopped moving), or INT64_MAX.
  int64_t NextDeadlineNs() const;
  void AdvanceTo(int64_t now_ns);

  // --- out ---
  // Decides dispatches for what changed since the last call and returns everything to be done since the last TakeActions.
  // `out` is cleared and swapped, so its memory is reused.
  void TakeActions(int64_t now_ns, std::vector<Action>* out);

  SchedulerCounts counts(PoolKey pool) const;
  // Aborts on a broken invariant: for tests and the simulation.
  void CheckInvariants() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace prefork::scheduler

#endif  // PREFORK_SERVER_SCHEDULER_SCHEDULER_H_
