#ifndef PREFORK_SERVER_ENGINE_WORKERS_H_
#define PREFORK_SERVER_ENGINE_WORKERS_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "server/engine/active_lanes.h"
#include "server/engine/core.h"
#include "server/engine/dispatcher.h"
#include "server/engine/pool_entry.h"
#include "server/engine/task_life.h"
#include "server/engine/worker_link.h"
#include "server/engine/worker_reporter.h"
#include "server/engine/worker_table.h"
#include "server/pool/pool_observer.h"
#include "server/scheduler/action.h"

namespace prefork::engine {

// Between the scheduler and the worker processes: carries out actions, and tells the scheduler what
// lanes and processes say. The design note is in workers.cc, what pools tell is in
// workers_events.cc.
class Workers {
 public:
  // Nothing is owned.
  Workers(Core* core, PoolTable* pools, TaskLife* life)
      : core_(core),
        pools_(pools),
        life_(life),
        reporter_(core, pools, &table_),
        lanes_(core, pools, life, &reporter_),
        dispatcher_(core, life, &lanes_, &reporter_) {}

  // --- a pass ---
  // Reads all lanes that may have something. True: some had.
  bool DrainActive() { return lanes_.DrainAll(); }
  // Carries out all that the scheduler wants, and what follows from it, and publishes. True: there
  // was something.
  bool CarryOut();
  // Has a lane been given a task since the last call?
  bool TakeDispatched() { return dispatcher_.TakeDispatched(); }
  // The engine is about to sleep: lanes without records announce themselves from now on.
  void Announce() { lanes_.Announce(); }
  // Tells watchers which workers became busy or idle, at most every tenth of a second per pass.
  void ReportChanges() { reporter_.ReportChanges(); }

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
  WorkerInfo Describe(const PoolEntry& pool, pool::Worker& worker, bool with_usage) const {
    return reporter_.Describe(pool, worker, with_usage);
  }
  // Sends a signal to the tree of the process that runs the task. FAILED_PRECONDITION unless it
  // runs.
  absl::Status SignalTask(TaskSlot slot, int signal);
  // Sends a client's signal to the worker's tree.
  absl::Status Signal(WorkerLink& link, int signal, bool include_worker);
  // Has a worker claimed the task and not finished it?
  bool IsRunning(TaskSlot slot) const;
  // Null when it is gone.
  WorkerLink* Find(scheduler::WorkerKey key) { return table_.Find(key); }
  const WorkerLink* Find(scheduler::WorkerKey key) const { return table_.Find(key); }

 private:
  void CarryOut(const scheduler::Action& action);
  void Prefetch(const scheduler::Action& action) const;
  void AskToStop(TaskSlot slot, WorkerLink& link);
  void KillWorker(TaskSlot slot, WorkerLink& link);
  void StartDedicated(TaskSlot slot);
  void BecameIdle(WorkerLink& link);
  void LogRest(TaskSlot slot, const WorkerLink& link);
  TaskSlot TaskAtDeath(WorkerLink& link) const;

  Core* const core_;
  PoolTable* const pools_;
  TaskLife* const life_;
  WorkerTable table_;
  WorkerReporter reporter_;
  ActiveLanes lanes_;
  Dispatcher dispatcher_;
  std::vector<scheduler::Action> actions_;
};

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_WORKERS_H_
