#ifndef PREFORK_SERVER_ENGINE_WORKERS_H_
#define PREFORK_SERVER_ENGINE_WORKERS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "server/engine/core.h"
#include "server/engine/lane_drainer.h"
#include "server/engine/lane_feeder.h"
#include "server/engine/pool_entry.h"
#include "server/engine/task_life.h"
#include "server/engine/worker_link.h"
#include "server/pool/pool_observer.h"
#include "server/scheduler/action.h"

namespace prefork::engine {

// Between the scheduler and the worker processes: carries out actions, and tells the scheduler what
// lanes and processes say. The design note is in workers.cc.
class Workers : private LaneListener {
 public:
  // Nothing is owned.
  Workers(Core* core, PoolTable* pools, TaskLife* life) : core_(core), pools_(pools), life_(life) {}

  // --- a pass ---
  // Reads all lanes that may have something. True: some had.
  bool DrainActive();
  // Carries out all that the scheduler wants, and what follows from it, and publishes. True: there
  // was something.
  bool CarryOut();
  // Has a lane been given a task since the last call?
  bool TakeDispatched() { return std::exchange(dispatched_, false); }
  // The engine is about to sleep: lanes without records announce themselves from now on.
  void Announce();
  // Tells watchers which workers became busy or idle, at most every tenth of a second per pass.
  void ReportChanges();

  // --- what pools tell (see PoolObserver) ---
  void OnStarting(PoolEntry& pool, pool::Worker& worker);
  void OnReady(PoolEntry& pool, pool::Worker& worker);
  void OnRetirementWanted(pool::Worker& worker);
  void OnLaneReadable(pool::Worker& worker);
  void OnOutput(PoolEntry& pool, pool::Worker& worker, int stream, uint64_t task_id,
                std::string_view bytes);
  void OnSegmentRequest(pool::Worker& worker, uint64_t size_bytes);
  void OnExited(PoolEntry& pool, pool::Worker& worker, const pool::WorkerExit& exit);
  void OnDedicatedFailed(uint64_t task_id, const absl::Status& why);

  // --- for those who look ---
  // `with_usage` reads RSS and CPU time from /proc.
  WorkerInfo Describe(const PoolEntry& pool, pool::Worker& worker, bool with_usage) const;
  // Sends a signal to the tree of the process that runs the task. FAILED_PRECONDITION unless it
  // runs.
  absl::Status SignalTask(TaskSlot slot, int signal);
  // Sends a client's signal to the worker's tree.
  absl::Status Signal(WorkerLink& link, int signal, bool include_worker);
  // Has a worker claimed the task and not finished it?
  bool IsRunning(TaskSlot slot) const;
  WorkerLink* Find(scheduler::WorkerKey key);
  const WorkerLink* Find(scheduler::WorkerKey key) const;

 private:
  void OnTaskStarted(WorkerLink& link, const InFlight& task, int64_t started_ns) override;
  void OnTaskFinished(WorkerLink& link, const InFlight& task, FinishedReport report) override;
  void OnTaskProgress(WorkerLink& link, const InFlight& task, ProgressReport report) override;
  void OnTaskPartial(WorkerLink& link, const InFlight& task, std::string value,
                     std::string content_type) override;
  void OnNonsense(WorkerLink& link, std::string what) override;

  void CarryOut(const scheduler::Action& action);
  void StartDedicated(TaskSlot slot);
  void BecameIdle(WorkerLink& link);
  void LogRest(TaskSlot slot, const WorkerLink& link);
  void Prefetch(const scheduler::Action& action) const;
  // workers_dispatch.cc
  void Dispatch(const scheduler::Action& action, WorkerLink& link);
  FeedResult Feed(const scheduler::Action& action, WorkerLink& link, std::string* why);
  void DispatchFailed(TaskSlot slot, WorkerLink& link, FeedResult result, std::string why);
  void Hold(const scheduler::Action& action, WorkerLink& link);
  // Tries held dispatches again. True: one was fed, or given up.
  bool RetryHeld();
  void Revoke(TaskSlot slot, WorkerLink& link);
  // The rest is in workers.cc.
  void Poison(WorkerLink& link, std::string_view what);
  void AskToStop(TaskSlot slot, WorkerLink& link);
  void KillWorker(TaskSlot slot, WorkerLink& link);
  size_t Drain(WorkerLink& link);
  void Activate(WorkerLink& link);
  TaskSlot RunningTask(const WorkerLink& link) const;
  TaskSlot TaskAtDeath(WorkerLink& link) const;
  void NoteBusy(WorkerLink& link);
  void EmitWorker(const PoolEntry& pool, pool::Worker& worker, WorkerState state,
                  const pool::WorkerExit* exit, TaskId task);

  Core* const core_;
  PoolTable* const pools_;
  TaskLife* const life_;
  scheduler::WorkerKey next_key_ = 1;
  absl::flat_hash_map<scheduler::WorkerKey, std::unique_ptr<WorkerLink>> links_;
  std::vector<WorkerLink*> active_;
  std::vector<WorkerLink*> unpublished_;
  std::vector<WorkerLink*> held_;  // those with a held dispatch
  bool retry_timer_ = false;
  bool dispatched_ = false;
  std::vector<scheduler::Action> actions_;
  std::vector<scheduler::WorkerKey> changed_;  // busy or idle since the last report
  int64_t reported_ns_ = 0;
  bool report_timer_ = false;
};

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_WORKERS_H_
