#ifndef PREFORK_SERVER_ENGINE_WORKER_REPORTER_H_
#define PREFORK_SERVER_ENGINE_WORKER_REPORTER_H_

#include <cstdint>
#include <vector>

#include "server/engine/core.h"
#include "server/engine/pool_entry.h"
#include "server/engine/worker_table.h"
#include "server/pool/pool_observer.h"

namespace prefork::engine {

// Says how workers are: to those who ask, and to those who watch. The design note is in
// worker_reporter.cc.
class WorkerReporter {
 public:
  // Nothing is owned.
  WorkerReporter(Core* core, const PoolTable* pools, const WorkerTable* workers)
      : core_(core), pools_(pools), workers_(workers) {}

  // `with_usage` reads RSS and CPU time from /proc.
  WorkerInfo Describe(const PoolEntry& pool, pool::Worker& worker, bool with_usage) const;
  // Logs that the worker is in `state` now; with `exit` how it ended, and the task that it was
  // running (0: none).
  void Emit(const PoolEntry& pool, pool::Worker& worker, WorkerState state,
            const pool::WorkerExit* exit = nullptr, TaskId task = 0);
  // It may have become busy or idle.
  void NoteBusy(WorkerLink& link);
  // Tells watchers which workers became busy or idle, at most every tenth of a second per pass.
  void ReportChanges();

 private:
  Core* const core_;
  const PoolTable* const pools_;
  const WorkerTable* const workers_;
  std::vector<scheduler::WorkerKey> changed_;  // busy or idle since the last report
  int64_t reported_ns_ = 0;
  bool report_timer_ = false;
};

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_WORKER_REPORTER_H_
