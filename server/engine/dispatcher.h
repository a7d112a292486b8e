#ifndef PREFORK_SERVER_ENGINE_DISPATCHER_H_
#define PREFORK_SERVER_ENGINE_DISPATCHER_H_

#include <string>
#include <utility>
#include <vector>

#include "server/engine/active_lanes.h"
#include "server/engine/core.h"
#include "server/engine/lane_feeder.h"
#include "server/engine/task_life.h"
#include "server/engine/worker_link.h"
#include "server/engine/worker_reporter.h"
#include "server/scheduler/action.h"

namespace prefork::engine {

// Puts tasks into lanes and takes them back; keeps those for which a lane has no room yet. The
// design note is in dispatcher.cc.
class Dispatcher {
 public:
  // Nothing is owned.
  Dispatcher(Core* core, TaskLife* life, ActiveLanes* lanes, WorkerReporter* reporter)
      : core_(core), life_(life), lanes_(lanes), reporter_(reporter) {}

  // Feeds the task, holds it, or tells the scheduler why not. The worker sees it after Publish.
  void Dispatch(const scheduler::Action& action, WorkerLink& link);
  // Takes the task back unless the worker has claimed it; the scheduler learns which.
  void Revoke(TaskSlot slot, WorkerLink& link);
  // Tries held dispatches again. True: one was fed, or given up.
  bool RetryHeld();
  // Makes visible what was fed, and wakes each worker once.
  void Publish();
  // Has a lane been given a task since the last call?
  bool TakeDispatched() { return std::exchange(dispatched_, false); }
  // The link is about to be destroyed.
  void Forget(WorkerLink& link);

 private:
  FeedResult Feed(const scheduler::Action& action, WorkerLink& link, std::string* why);
  void DispatchFailed(TaskSlot slot, WorkerLink& link, FeedResult result, std::string why);
  void Hold(const scheduler::Action& action, WorkerLink& link);

  Core* const core_;
  TaskLife* const life_;
  ActiveLanes* const lanes_;
  WorkerReporter* const reporter_;
  std::vector<WorkerLink*> unpublished_;
  std::vector<WorkerLink*> held_;  // those with a held dispatch
  bool retry_timer_ = false;
  bool dispatched_ = false;
};

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_DISPATCHER_H_
