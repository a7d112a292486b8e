#ifndef PREFORK_SERVER_ENGINE_ACTIVE_LANES_H_
#define PREFORK_SERVER_ENGINE_ACTIVE_LANES_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "server/engine/core.h"
#include "server/engine/lane_drainer.h"
#include "server/engine/pool_entry.h"
#include "server/engine/task_life.h"
#include "server/engine/worker_link.h"
#include "server/engine/worker_reporter.h"

namespace prefork::engine {

// Looks at the lanes that may have something, and hands what they say to the scheduler and to the
// records of tasks. The design note is in active_lanes.cc.
class ActiveLanes : private LaneListener {
 public:
  // Nothing is owned.
  ActiveLanes(Core* core, const PoolTable* pools, TaskLife* life, WorkerReporter* reporter)
      : core_(core), pools_(pools), life_(life), reporter_(reporter) {}

  // From now on the lane is looked at.
  void Activate(WorkerLink& link);
  // Reads what is in the lane, active or not. Returns the number of records.
  size_t Drain(WorkerLink& link);
  // Reads all active lanes. True: some had something.
  bool DrainAll();
  // The engine is about to sleep: lanes without records announce themselves from now on.
  void Announce();
  // Its worker wrote nonsense, or withholds what is the engine's: it is killed, and nothing more is
  // read from it or given to it.
  void Poison(WorkerLink& link, std::string_view what);
  // The link is about to be destroyed.
  void Forget(WorkerLink& link);

 private:
  void OnTaskStarted(WorkerLink& link, const InFlight& task, int64_t started_ns) override;
  void OnTaskFinished(WorkerLink& link, const InFlight& task, FinishedReport report) override;
  void OnTaskProgress(WorkerLink& link, const InFlight& task, ProgressReport report) override;
  void OnTaskPartial(WorkerLink& link, const InFlight& task, std::string value,
                     std::string content_type) override;
  void OnNonsense(WorkerLink& link, std::string what) override;

  Core* const core_;
  const PoolTable* const pools_;
  TaskLife* const life_;
  WorkerReporter* const reporter_;
  std::vector<WorkerLink*> active_;
};

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_ACTIVE_LANES_H_
