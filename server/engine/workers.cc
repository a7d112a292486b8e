// Between decisions and processes.
//
//   scheduler --actions--> Workers --Dispatcher----> lanes (dispatcher.cc)
//                             +------signals-------> processes
//   scheduler <--events--- ActiveLanes <------------ lanes (active_lanes.cc)
//   scheduler <--events--- Workers <--PoolObserver-- processes (workers_events.cc)
//
// Stopping. By the time of kAskToStop nothing else is in the lane. A worker that runs functions in
// its own process gets the SIGTERM itself and ends by it, unless the function handles it. Whether
// the signal arrives before or after the task's end can't be known, so that worker gets no further
// task: it retires. A worker that runs programs is left alone, its descendants get the signal.
#include "server/engine/workers.h"

#include <atomic>
#include <csignal>
#include <string>

#include "absl/strings/str_cat.h"
#include "server/engine/errors.h"

namespace prefork::engine {
namespace {

using scheduler::Action;

// As far ahead as memory is slower than an action.
constexpr size_t kPrefetchActions = 4;

// Do its tasks run in processes of their own, below the worker?
bool RunsPrograms(const PoolEntry& pool) { return pool.spec().runtime == pool::Runtime::kCommand; }

}  // namespace

// --- what the scheduler wants ---

bool Workers::CarryOut() {
  bool any = dispatcher_.RetryHeld();
  while (true) {
    core_->scheduler.TakeActions(core_->now_ns, &actions_);
    if (actions_.empty()) break;
    any = true;
    for (size_t i = 0; i < actions_.size(); ++i) {
      if (i + kPrefetchActions < actions_.size()) Prefetch(actions_[i + kPrefetchActions]);
      CarryOut(actions_[i]);
    }
  }
  dispatcher_.Publish();
  return any;
}

void Workers::Prefetch(const Action& action) const {
  if (action.task != kNone) core_->tasks.Prefetch(action.task);
}

void Workers::CarryOut(const Action& action) {
  switch (action.kind) {
    case Action::Kind::kStateChanged:
      life_->StateChanged(action.task, action.state, action.cause);
      return;
    case Action::Kind::kRetryScheduled:
      life_->RetryScheduled(action.task, action.attempt, action.cause, action.at_ns);
      return;
    case Action::Kind::kStartDedicated:
      StartDedicated(action.task);
      return;
    default:
      break;
  }
  WorkerLink* const link = Find(action.worker);
  if (link == nullptr) return;  // it died meanwhile, and the scheduler knows
  switch (action.kind) {
    case Action::Kind::kDispatch:
      dispatcher_.Dispatch(action, *link);
      break;
    case Action::Kind::kRevoke:
      dispatcher_.Revoke(action.task, *link);
      break;
    case Action::Kind::kAskToStop:
      AskToStop(action.task, *link);
      break;
    case Action::Kind::kKillWorker:
      KillWorker(action.task, *link);
      break;
    case Action::Kind::kWorkerIdle:
      BecameIdle(*link);
      break;
    case Action::Kind::kWorkerRests:
      LogRest(action.task, *link);
      break;
    default:
      break;
  }
}

void Workers::AskToStop(TaskSlot slot, WorkerLink& link) {
  link.worker->lane().status().cancelled_task.store(core_->tasks.at(slot).id,
                                                    std::memory_order_release);
  const bool runs_programs = RunsPrograms(*pools_->At(link.pool));
  // When it can't be signalled it is gone, or the kill after the grace period will tell.
  (void)link.worker->SignalTree(SIGTERM, /*include_worker=*/!runs_programs);
  if (runs_programs) return;
  link.worker->ExpectEnd(pool::ExitReason::kTaskStopped,
                         absl::StrCat("its task ", core_->tasks.at(slot).id, " was asked to stop"));
  link.retiring = true;
  core_->scheduler.RetireWorker(link.key, core_->now_ns);
}

void Workers::KillWorker(TaskSlot slot, WorkerLink& link) {
  link.worker->Kill(
      pool::ExitReason::kTaskStopped,
      slot == kNone ? std::string("its task had to be stopped")
                    : absl::StrCat("its task ", core_->tasks.at(slot).id, " had to be stopped"));
}

void Workers::StartDedicated(TaskSlot slot) {
  const TaskRecord& record = core_->tasks.at(slot);
  PoolEntry* const pool = pools_->At(record.pool);
  if (pool == nullptr || pool->deleting) {
    core_->scheduler.DedicatedFailed(slot, core_->now_ns);
    return;
  }
  pool->pool->StartDedicated(record.id);
}

void Workers::BecameIdle(WorkerLink& link) {
  if (link.depth() > 0) return;
  pool::WorkerPool& pool = *pools_->At(link.pool)->pool;
  if (link.retiring || link.worker->dedicated()) {
    pool.RetireWorker(*link.worker);
  } else if (pool.WantsRetirement(*link.worker)) {
    OnRetirementWanted(*link.worker);
  }
}

// A hang is reported, not called death.
void Workers::LogRest(TaskSlot slot, const WorkerLink& link) {
  core_->Log(
      log::Level::kWarning,
      absl::StrCat("worker ", pools_->At(link.pool)->name, "/", link.worker->index(), " (pid ",
                   link.worker->pid(), ") did not take task ", core_->tasks.at(slot).id,
                   ", which runs elsewhere; is the process stopped, or short of CPU time?"));
}

// --- for those who look ---

bool Workers::IsRunning(TaskSlot slot) const {
  const WorkerLink* const link = Find(core_->scheduler.worker(slot));
  return link != nullptr && link->Running() == slot;
}

absl::Status Workers::SignalTask(TaskSlot slot, int signal) {
  const TaskId id = core_->tasks.at(slot).id;
  WorkerLink* const link = Find(core_->scheduler.worker(slot));
  if (link == nullptr || link->Running() != slot) {
    return MakeError(
        absl::StatusCode::kFailedPrecondition, reason::kTaskNotRunning,
        absl::StrCat("task ", id, " is not running; only a running task has a process"),
        absl::StrCat(id));
  }
  return Signal(*link, signal, !RunsPrograms(*pools_->At(link->pool)));
}

absl::Status Workers::Signal(WorkerLink& link, int signal, bool include_worker) {
  if (include_worker) link.client_signal = signal;
  return link.worker->SignalTree(signal, include_worker);
}

}  // namespace prefork::engine
