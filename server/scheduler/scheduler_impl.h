#ifndef PREFORK_SERVER_SCHEDULER_SCHEDULER_IMPL_H_
#define PREFORK_SERVER_SCHEDULER_SCHEDULER_IMPL_H_

#include <cstdint>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "server/scheduler/action.h"
#include "server/scheduler/dependencies.h"
#include "server/scheduler/intern_table.h"
#include "server/scheduler/pool.h"
#include "server/scheduler/ready_queue.h"
#include "server/scheduler/scheduler.h"
#include "server/scheduler/slab.h"
#include "server/scheduler/task_table.h"
#include "server/scheduler/timer_heap.h"
#include "server/scheduler/types.h"
#include "server/scheduler/workers.h"

namespace prefork::scheduler {

// What many tasks have in common, kept once.
struct PolicyKey {
  int64_t timeout_ns = 0;
  int64_t grace_ns = 0;
  RetryPolicy retry;

  friend bool operator==(const PolicyKey&, const PolicyKey&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const PolicyKey& key) {
    return H::combine(std::move(state), key.timeout_ns, key.grace_ns, key.retry.max_attempts,
                      key.retry.on, key.retry.backoff_ns, key.retry.backoff_multiplier,
                      key.retry.max_backoff_ns);
  }
};
struct Policy {
  PolicyKey key;
};

// The state behind Scheduler. Its methods are spread by idea: task_life.cc (submit, cancel, ends),
// lane_events.cc (what workers report), standing_lanes.cc (lanes and workers that do not move),
// stopping.cc (revoke, ask, kill), deadlines.cc (timers), dispatch.cc (who gets what),
// invariants.cc. Public methods are those of Scheduler.
class Scheduler::Impl {
 public:
  void AddPool(PoolKey key, const PoolLimits& limits);
  void RemovePool(PoolKey key, int64_t now_ns);
  void SetPaused(PoolKey key, bool paused, int64_t now_ns);

  absl::Status Submit(TaskSlot slot, const TaskSpec& spec, int64_t now_ns);
  void Cancel(TaskSlot slot, EndCause cause, bool force, int64_t now_ns);
  void HoldClient(ClientKey client, bool held, int64_t now_ns);
  void ForgetTask(TaskSlot slot);
  const Task& TaskAt(TaskSlot slot) const;
  WorkerKey WorkerOf(TaskSlot slot) const;

  void WorkerReady(WorkerKey key, PoolKey pool_key, TaskSlot for_task, int64_t now_ns);
  void DedicatedFailed(TaskSlot slot, int64_t now_ns);
  void RetireWorker(WorkerKey key, int64_t now_ns);
  void WorkerDied(WorkerKey key, TaskSlot running, EndCause cause, int64_t now_ns);
  void Started(WorkerKey key, TaskSlot slot, int64_t started_ns, int64_t now_ns);
  void Finished(WorkerKey key, TaskSlot slot, EndCause cause, int64_t run_ns, int64_t now_ns);
  void Revoked(WorkerKey key, TaskSlot slot, int64_t now_ns);
  void RevokeRefused(WorkerKey key, TaskSlot slot, int64_t now_ns);

  int64_t NextDeadlineNs() const;
  void AdvanceTo(int64_t now_ns);
  void TakeActions(int64_t now_ns, std::vector<Action>* out);

  SchedulerCounts counts(PoolKey key) const;
  uint32_t lane_depth(PoolKey key) const;
  SchedulerFootprint footprint() const;
  void CheckInvariants() const;

 private:
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

  void SetNow(int64_t now_ns);
  Pool* FindPool(PoolKey key) const;
  Pool& PoolOf(const Task& task) { return *flows_[task.flow].pool; }
  const PolicyKey& PolicyOf(const Task& task) const { return policies_[task.policy].key; }
  ReadyQueue& QueueOf(const Task& task);
  void MarkChanged(Pool& pool);
  void EmitState(TaskSlot slot, const Task& task);

  // task_life.cc
  // The one place where a task's state changes; aborts on what the transition table forbids.
  void SetState(TaskSlot slot, Task& task, TaskState to);
  // Makes `slot` wait for its unfinished predecessors; false if one of them can never succeed.
  bool AddPredecessors(TaskSlot slot, const std::vector<TaskSlot>& after);
  void Enqueue(TaskSlot slot, Task& task);
  // Back to where it stood in its queue, from a lane it did not run in.
  void Requeue(TaskSlot slot, Task& task);
  // An attempt of a task that is in no queue and no lane (any more) is over: another, or the end.
  void EndAttempt(TaskSlot slot, Task& task, EndCause cause);
  // The end of a task that is in no queue and no lane.
  void Settle(TaskSlot slot, Task& task, EndCause cause);
  void FollowEnds();

  // lane_events.cc
  uint32_t AddWorker(WorkerKey key, Pool& pool, bool dedicated);
  void RemoveWorker(uint32_t index);
  uint32_t FindWorker(WorkerKey key) const;
  // The task if it is in the lane of `key`, else nullptr: the message came late.
  Task* FindInLane(WorkerKey key, TaskSlot slot);
  void PutInLane(uint32_t index, TaskSlot slot, Task& task);
  void TakeFromLane(TaskSlot slot, Task& task);
  void NowRuns(TaskSlot slot, Task& task, int64_t started_ns);
  void Retire(uint32_t index);
  // A dedicated worker keeps its place for `slot` until the pool lets it start.
  void Reserve(uint32_t index, TaskSlot slot, Task& task);
  void ReleaseReserved(uint32_t index);
  void ReportIdle(Worker& worker);
  // Files the worker anew after anything about its lane or its standing changed.
  void LaneChanged(uint32_t index);

  // stopping.cc
  void Revoke(TaskSlot slot, Task& task);
  void RevokeUnclaimed(const Worker& worker, TaskSlot but);
  // Begins to end a running task, or hurries on with it. Its `end` says why.
  void Stop(TaskSlot slot, Task& task);
  void ProceedStop(TaskSlot slot, Task& task);
  void Kill(TaskSlot slot, Task& task);
  // For a task that leaves its lane, whatever it was being stopped for.
  void LeaveStop(Task& task, Worker& worker);

  // deadlines.cc
  TaskDetails& DetailsOf(Task& task);  // made if missing
  void DropDetails(Task& task);
  int64_t DeadlineOf(const Task& task, const TaskDetails& details) const;
  void UpdateTimer(TaskSlot slot, Task& task);
  void OnDeadline(TaskSlot slot, Task& task);
  void ExpireInQueue(TaskSlot slot, Task& task);

  // standing_lanes.cc
  // Is there something in the lane that is taken back when it stands still?
  bool NeedsWatch(const Worker& worker) const;
  void UpdateWatch(Worker& worker);
  static int64_t LaneDeadlineNs(const Worker& worker);
  void RevokeStandingLanes();
  // True if taking back `slot` unclaimed proves that its worker sleeps.
  bool ProvesSleep(TaskSlot slot, const Task& task) const;
  void Rest(uint32_t index, TaskSlot left);
  void EndRest(uint32_t index);
  // Puts the worker that has rested longest on offer again, if its time is over.
  bool EndOldestRest(Pool& pool);
  static bool WaitsForRest(const Pool& pool);
  int64_t NextRestEndNs() const;
  void EndRests();

  // dispatch.cc
  void Dispatch(Pool& pool);
  void DispatchDedicated(Pool& pool);
  void ReportIdleWorkers();
  // True for a request that a later event of the same batch has answered already.
  bool IsOutdated(const Action& action);

  // invariants.cc
  void CheckTask(TaskSlot slot, const Task& task) const;
  void CheckWorker(uint32_t index) const;
  void CheckPool(const Pool& pool) const;

  int64_t now_ns_ = 0;
  TaskTable tasks_;
  Slab<TaskDetails> details_;
  TimerHeap timers_;
  FlowTable flows_;
  InternTable<PolicyKey, Policy> policies_;
  Dependencies dependencies_;
  Slab<Worker> workers_;
  absl::flat_hash_map<WorkerKey, uint32_t> worker_index_;
  absl::flat_hash_map<PoolKey, std::unique_ptr<Pool>> pools_;
  absl::flat_hash_set<ClientKey> held_clients_;

  size_t watched_lanes_ = 0;        // would be noticed if they stood still
  int64_t lane_check_ns_ = kNever;  // when to look at them; not later than necessary
  size_t resting_ = 0;              // workers, of all pools
  std::vector<Pool*> changed_pools_;
  std::vector<WorkerKey> emptied_;  // may have become idle
  std::vector<TaskSlot> ended_;     // whose successors are still to be told
  bool following_ends_ = false;
  std::vector<Action> actions_;
  bool has_requests_ = false;  // actions_ contains a kRevoke, kAskToStop or kKillWorker
};

// Sum of a time and a span from outside that may be absurdly long.
inline int64_t SaturatingAdd(int64_t time_ns, int64_t span_ns) {
  int64_t sum;
  return __builtin_add_overflow(time_ns, span_ns, &sum) ? std::numeric_limits<int64_t>::max() : sum;
}

}  // namespace prefork::scheduler

#endif  // PREFORK_SERVER_SCHEDULER_SCHEDULER_IMPL_H_
