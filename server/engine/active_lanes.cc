// Looking at lanes.
//
// A lane is active from the moment something is put into it, or its eventfd says that it has
// records, until it is found empty when the engine is about to sleep. Active lanes are looked at in
// every pass, which costs a load each; the others announce themselves (PrepareSleep), so a sleeping
// engine is woken by the first record and a busy one by none. A worker with an empty lane has
// nothing to say.
#include "server/engine/active_lanes.h"

#include <algorithm>
#include <utility>

namespace prefork::engine {

void ActiveLanes::Activate(WorkerLink& link) {
  if (link.active) return;
  link.active = true;
  active_.push_back(&link);
  if (link.announced) link.worker->lane().up().CancelSleep();
  link.announced = false;
}

size_t ActiveLanes::Drain(WorkerLink& link) {
  const uint64_t done_before = link.tasks_done;
  const size_t records = DrainLane(link, *this);
  if (link.tasks_done != done_before) {
    PoolEntry* const pool = pools_->At(link.pool);
    pool->pool->TasksDone(*link.worker, link.tasks_done - done_before);
    reporter_->NoteBusy(link);
  }
  return records;
}

bool ActiveLanes::DrainAll() {
  size_t records = 0;
  // By index: what a record leads to may activate further lanes.
  for (size_t i = 0; i < active_.size(); ++i) records += Drain(*active_[i]);
  return records > 0;
}

void ActiveLanes::Announce() {
  std::erase_if(active_, [](WorkerLink* link) {
    if (!link->poisoned && !link->worker->lane().up().PrepareSleep()) return false;
    link->active = false;
    link->announced = true;
    return true;
  });
}

void ActiveLanes::Forget(WorkerLink& link) { std::erase(active_, &link); }

// --- what lanes say ---

void ActiveLanes::OnTaskStarted(WorkerLink& link, const InFlight& task, int64_t started_ns) {
  started_ns = std::min(started_ns, core_->now_ns);
  life_->NoteStart(task.slot, started_ns);
  core_->scheduler.Started(link.key, task.slot, started_ns, core_->now_ns);
}

void ActiveLanes::OnTaskFinished(WorkerLink& link, const InFlight& task, FinishedReport report) {
  using scheduler::EndCause;
  EndCause cause = EndCause::kCompleted;
  if (report.outcome == shm::TaskOutcome::kFailed) cause = EndCause::kTaskError;
  if (report.outcome == shm::TaskOutcome::kCancelled) cause = EndCause::kCancelledByClient;
  if (report.outcome == shm::TaskOutcome::kExited && report.wait_status != 0) {
    cause = EndCause::kTaskError;
  }
  // The worker's clock is ours, but its word is not: nothing ends in the future.
  report.finished_ns = std::min(report.finished_ns, core_->now_ns);
  report.started_ns = std::min(report.started_ns, report.finished_ns);
  const int64_t run_ns = report.finished_ns - report.started_ns;
  life_->NoteFinished(task.slot, std::move(report));
  core_->scheduler.Finished(link.key, task.slot, cause, run_ns, core_->now_ns);
}

void ActiveLanes::OnTaskProgress(WorkerLink&, const InFlight& task, ProgressReport report) {
  life_->AddProgress(task.slot, std::move(report));
}

void ActiveLanes::OnTaskPartial(WorkerLink&, const InFlight& task, std::string value,
                                std::string content_type) {
  life_->AddPartial(task.slot, std::move(value), std::move(content_type));
}

void ActiveLanes::OnNonsense(WorkerLink& link, std::string what) { Poison(link, what); }

void ActiveLanes::Poison(WorkerLink& link, std::string_view what) {
  link.poisoned = true;
  link.retiring = true;
  link.worker->Kill(pool::ExitReason::kProtocolViolation, what);
  core_->scheduler.RetireWorker(link.key, core_->now_ns);
}

}  // namespace prefork::engine
