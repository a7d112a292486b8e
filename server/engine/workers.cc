// Between decisions and processes.
//
//   scheduler --actions--> Workers --FeedLane, Revoke, signals--> lanes and processes
//   scheduler <--events--- Workers <--DrainLane, PoolObserver---- lanes and processes
//
// Looking at lanes. A lane is active from the moment something is put into it, or its eventfd says
// that it has records, until it is found empty when the engine is about to sleep. Active lanes are
// looked at in every pass, which costs a load each; the others announce themselves (PrepareSleep),
// so a sleeping engine is woken by the first record and a busy one by none. A worker with an empty
// lane has nothing to say.
//
// Death. The pool reports an exit after everything the worker wrote can be read. The rest of the
// lane is read, then the claim words tell what ran: a worker claims one task at a time, so the
// oldest claimed entry is the one that the death ended. The others never started, and the scheduler
// puts them back. The worker's own word about what it runs (LaneStatus) is not asked.
//
// Stopping. By the time of kAskToStop nothing else is in the lane. A worker that runs functions in
// its own process gets the SIGTERM itself and ends by it, unless the function handles it. Whether
// the signal arrives before or after the task's end can't be known, so that worker gets no further
// task: it retires. A worker that runs programs is left alone, its descendants get the signal.
#include "server/engine/workers.h"

#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/os/process_stats.h"
#include "common/shm/lane_layout.h"
#include "server/engine/errors.h"
#include "server/engine/exit_reporter.h"
#include "server/engine/lane_feeder.h"

namespace prefork::engine {
namespace {

using scheduler::Action;
using scheduler::EndCause;

constexpr int64_t kReportEveryNs = 100'000'000;
// As far ahead as memory is slower than an action.
constexpr size_t kPrefetchActions = 4;

// Do its tasks run in processes of their own, below the worker?
bool RunsPrograms(const PoolEntry& pool) { return pool.spec().runtime == pool::Runtime::kCommand; }

EndCause CauseOf(const pool::WorkerExit& exit, bool dedicated) {
  if (exit.out_of_memory) return EndCause::kOutOfMemory;
  if (exit.reason == pool::ExitReason::kProtocolViolation) return EndCause::kProtocolViolation;
  // A dedicated process says with its exit code how its task ended.
  if (dedicated && exit.wait_status && WIFEXITED(*exit.wait_status)) {
    return WEXITSTATUS(*exit.wait_status) == 0 ? EndCause::kCompleted : EndCause::kTaskError;
  }
  return EndCause::kWorkerDied;
}

// Is this the answer of a worker that needs nothing any more?
bool IsEnding(const absl::Status& status) {
  return absl::IsFailedPrecondition(status) || absl::IsAborted(status);
}

}  // namespace

WorkerLink* Workers::Find(scheduler::WorkerKey key) {
  const auto it = links_.find(key);
  return it == links_.end() ? nullptr : it->second.get();
}

const WorkerLink* Workers::Find(scheduler::WorkerKey key) const {
  const auto it = links_.find(key);
  return it == links_.end() ? nullptr : it->second.get();
}

// --- a pass ---

void Workers::Activate(WorkerLink& link) {
  if (link.active) return;
  link.active = true;
  active_.push_back(&link);
  if (link.announced) link.worker->lane().up().CancelSleep();
  link.announced = false;
}

size_t Workers::Drain(WorkerLink& link) {
  const uint64_t done_before = link.tasks_done;
  const size_t records = DrainLane(link, *this);
  if (link.tasks_done != done_before) {
    PoolEntry* const pool = pools_->At(link.pool);
    pool->pool->TasksDone(*link.worker, link.tasks_done - done_before);
    NoteBusy(link);
  }
  return records;
}

bool Workers::DrainActive() {
  size_t records = 0;
  // By index: what a record leads to may activate further lanes.
  for (size_t i = 0; i < active_.size(); ++i) records += Drain(*active_[i]);
  return records > 0;
}

void Workers::Announce() {
  std::erase_if(active_, [](WorkerLink* link) {
    if (!link->poisoned && !link->worker->lane().up().PrepareSleep()) return false;
    link->active = false;
    link->announced = true;
    return true;
  });
}

bool Workers::CarryOut() {
  bool any = RetryHeld();
  while (true) {
    core_->scheduler.TakeActions(core_->now_ns, &actions_);
    if (actions_.empty()) break;
    any = true;
    for (size_t i = 0; i < actions_.size(); ++i) {
      if (i + kPrefetchActions < actions_.size()) Prefetch(actions_[i + kPrefetchActions]);
      CarryOut(actions_[i]);
    }
  }
  dispatched_ |= !unpublished_.empty();
  for (WorkerLink* const link : unpublished_) PublishLane(*link);
  unpublished_.clear();
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
      Dispatch(action, *link);
      break;
    case Action::Kind::kRevoke:
      Revoke(action.task, *link);
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

// --- what lanes say ---

void Workers::OnTaskStarted(WorkerLink& link, const InFlight& task, int64_t started_ns) {
  started_ns = std::min(started_ns, core_->now_ns);
  life_->NoteStart(task.slot, started_ns);
  core_->scheduler.Started(link.key, task.slot, started_ns, core_->now_ns);
}

void Workers::OnTaskFinished(WorkerLink& link, const InFlight& task, FinishedReport report) {
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

void Workers::OnTaskProgress(WorkerLink&, const InFlight& task, ProgressReport report) {
  life_->AddProgress(task.slot, std::move(report));
}

void Workers::OnTaskPartial(WorkerLink&, const InFlight& task, std::string value,
                            std::string content_type) {
  life_->AddPartial(task.slot, std::move(value), std::move(content_type));
}

void Workers::OnNonsense(WorkerLink& link, std::string what) { Poison(link, what); }

// Nothing more is read from it or given to it.
void Workers::Poison(WorkerLink& link, std::string_view what) {
  link.poisoned = true;
  link.retiring = true;
  link.worker->Kill(pool::ExitReason::kProtocolViolation, what);
  core_->scheduler.RetireWorker(link.key, core_->now_ns);
}

// --- what pools say ---

void Workers::OnStarting(PoolEntry& pool, pool::Worker& worker) {
  const scheduler::WorkerKey key = next_key_++;
  worker.set_tag(key);
  links_.emplace(key, std::make_unique<WorkerLink>(key, pool.key, &worker));
  pool.dirty = true;
  EmitWorker(pool, worker, WorkerState::kStarting, nullptr, 0);
}

void Workers::OnReady(PoolEntry& pool, pool::Worker& worker) {
  WorkerLink& link = *Find(worker.tag());
  link.ready = true;
  link.announced = worker.lane().up().PrepareSleep();
  if (!link.announced) Activate(link);
  pool.dirty = true;
  pool.was_ready |= !worker.dedicated();
  TaskSlot for_task = kNone;
  if (worker.dedicated()) {
    for_task = core_->tasks.Find(worker.dedicated_cookie());
    // Its task has ended and was forgotten meanwhile: nothing to run.
    if (for_task == kNone) return pool.pool->RetireWorker(worker);
  }
  EmitWorker(pool, worker, WorkerState::kIdle, nullptr, 0);
  core_->scheduler.WorkerReady(link.key, pool.key, for_task, core_->now_ns);
  if (!worker.dedicated() && pool.pool->WantsRetirement(worker)) OnRetirementWanted(worker);
}

void Workers::OnRetirementWanted(pool::Worker& worker) {
  WorkerLink& link = *Find(worker.tag());
  if (link.retiring || !link.ready) return;
  link.retiring = true;
  PoolEntry& pool = *pools_->At(link.pool);
  pool.dirty = true;
  EmitWorker(pool, worker, WorkerState::kRetiring, nullptr, 0);
  core_->scheduler.RetireWorker(link.key, core_->now_ns);
}

void Workers::OnLaneReadable(pool::Worker& worker) {
  WorkerLink* const link = Find(worker.tag());
  if (link == nullptr) return;
  Activate(*link);
  Drain(*link);
}

void Workers::OnOutput(PoolEntry& pool, pool::Worker& worker, int stream, uint64_t task_id,
                       std::string_view bytes) {
  const TaskSlot slot = core_->tasks.Find(task_id);
  if (slot == kNone) return;
  const TaskRecord& record = core_->tasks.at(slot);
  // Which task runs is the worker's word: it may only speak for tasks that were given to it.
  if (record.pool != pool.key || record.worker_index != worker.index() ||
      record.worker_generation != worker.generation()) {
    return;
  }
  life_->AddOutput(slot, stream == 1 ? OutputStream::kStdout : OutputStream::kStderr, bytes,
                   pool.spec().max_output_bytes);
}

void Workers::OnSegmentRequest(pool::Worker& worker, uint64_t size_bytes) {
  WorkerLink& link = *Find(worker.tag());
  const TaskSlot running = RunningTask(link);
  absl::Status why;
  if (running == kNone) {
    why = absl::FailedPreconditionError("no task is running");
  } else if (size_bytes == 0 || size_bytes > core_->options.max_payload_bytes) {
    why = absl::InvalidArgumentError(absl::StrCat(
        "a value of ", size_bytes, " bytes; the largest is ", core_->options.max_payload_bytes));
  } else {
    const uint32_t uid = core_->tasks.at(running).uid;
    absl::StatusOr<shm::SegmentRef> segment = core_->segments->Lease(size_bytes, uid);
    if (absl::IsResourceExhausted(segment.status()) && life_->EvictSegments(size_bytes)) {
      segment = core_->segments->Lease(size_bytes, uid);
    }
    why = segment.ok() ? worker.GrantSegment(*segment) : segment.status();
    if (why.ok() || IsEnding(why)) return;
  }
  const absl::Status denied = worker.DenySegment(size_bytes, std::string(why.message()));
  if (denied.ok() || IsEnding(denied)) return;
  // It waits for an answer that it would never get.
  worker.Kill(pool::ExitReason::kTaskStopped,
              absl::StrCat("its request for a segment could not be answered: ", denied.message()));
}

// The one task that the worker has claimed and not finished.
TaskSlot Workers::RunningTask(const WorkerLink& link) const {
  TaskSlot running = kNone;
  link.ForEach([&](const InFlight& task) {
    if (running == kNone && link.worker->lane().down().IsClaimed(task.position)) {
      running = task.slot;
    }
  });
  return running;
}

bool Workers::IsRunning(TaskSlot slot) const {
  const WorkerLink* const link = Find(core_->scheduler.worker(slot));
  return link != nullptr && RunningTask(*link) == slot;
}

// The one task that the death of the worker ends.
TaskSlot Workers::TaskAtDeath(WorkerLink& link) const {
  // The claim words of a worker that wrote nonsense prove nothing: it may have begun its next task.
  if (link.poisoned) {
    const InFlight* const next = link.Front();
    return next == nullptr ? kNone : next->slot;
  }
  return RunningTask(link);
}

void Workers::OnExited(PoolEntry& pool, pool::Worker& worker, const pool::WorkerExit& exit) {
  WorkerLink& link = *Find(worker.tag());
  Drain(link);  // all of it: nobody writes any more
  const TaskSlot running = link.ready ? TaskAtDeath(link) : kNone;
  if (running != kNone) {
    life_->NoteWorkerExit(running, exit);
    const bool by_client = exit.wait_status && WIFSIGNALED(*exit.wait_status) &&
                           WTERMSIG(*exit.wait_status) == link.client_signal;
    if (by_client) life_->NoteHint(running, "a client had that signal sent");
  }
  EmitWorker(pool, worker, WorkerState::kExited, &exit,
             running == kNone ? 0 : core_->tasks.at(running).id);
  if (link.ready) {
    core_->scheduler.WorkerDied(link.key, running, CauseOf(exit, worker.dedicated()),
                                core_->now_ns);
  }
  pool.dirty = true;
  std::erase(active_, &link);
  std::erase(unpublished_, &link);
  std::erase(held_, &link);
  links_.erase(link.key);
}

void Workers::OnDedicatedFailed(uint64_t task_id, const absl::Status& why) {
  const TaskSlot slot = core_->tasks.Find(task_id);
  if (slot == kNone) return;
  life_->NoteHint(slot, std::string(why.message()));
  core_->scheduler.DedicatedFailed(slot, core_->now_ns);
}

// --- for those who look ---

WorkerInfo Workers::Describe(const PoolEntry& pool, pool::Worker& worker, bool with_usage) const {
  WorkerInfo info;
  info.pool = pool.name;
  info.index = worker.index();
  info.generation = worker.generation();
  info.pid = worker.pid();
  info.dedicated = worker.dedicated();
  info.started_at = worker.started_at();
  const WorkerLink* const link = Find(worker.tag());
  if (link != nullptr && link->ready) {
    info.state = link->retiring      ? WorkerState::kRetiring
                 : link->depth() > 0 ? WorkerState::kBusy
                                     : WorkerState::kIdle;
    info.tasks_done = link->tasks_done;
    info.lane_depth = static_cast<uint32_t>(link->depth());
    const TaskSlot running = RunningTask(*link);
    info.running_task = running == kNone ? 0 : core_->tasks.at(running).id;
  }
  if (with_usage) {
    if (const auto stats = os::ReadProcessStats(worker.pid()); stats.ok()) {
      info.rss_bytes = static_cast<uint64_t>(stats->rss_bytes);
      info.cpu_time = absl::Nanoseconds(stats->user_cpu_ns + stats->system_cpu_ns);
    }
  }
  return info;
}

absl::Status Workers::SignalTask(TaskSlot slot, int signal) {
  const TaskId id = core_->tasks.at(slot).id;
  WorkerLink* const link = Find(core_->scheduler.worker(slot));
  if (link == nullptr || RunningTask(*link) != slot) {
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

void Workers::EmitWorker(const PoolEntry& pool, pool::Worker& worker, WorkerState state,
                         const pool::WorkerExit* exit, TaskId task) {
  auto info = std::make_shared<WorkerInfo>(Describe(pool, worker, /*with_usage=*/false));
  info->state = state;
  EventRecord event;
  event.kind = EventRecord::Kind::kWorker;
  event.task = task;
  event.worker_index = worker.index();
  event.worker_generation = worker.generation();
  if (exit != nullptr) {
    info->exit_reason = exit->reason;
    info->cpu_time = exit->cpu_time;
    event.report =
        std::make_shared<const ExitReport>(ReportWorkerExit(pool.name, worker, *exit, task));
  }
  event.worker = std::move(info);
  EventLog::Entry entry;
  entry.time_ns = core_->wall_ns;
  entry.task = task;
  entry.pool = pool.key;
  entry.worker_index = worker.index();
  entry.worker_generation = worker.generation();
  entry.kind = event.kind;
  core_->log.Append(entry, &event, sizeof(WorkerInfo) + sizeof(ExitReport));
}

void Workers::NoteBusy(WorkerLink& link) {
  if (!core_->sessions.watching_workers() || link.change_noted) return;
  link.change_noted = true;
  changed_.push_back(link.key);
}

void Workers::ReportChanges() {
  if (changed_.empty() || report_timer_) return;
  if (core_->now_ns - reported_ns_ < kReportEveryNs) {
    report_timer_ = true;
    core_->loop->AddTimer(reported_ns_ + kReportEveryNs, [this] { report_timer_ = false; });
    return;
  }
  reported_ns_ = core_->now_ns;
  for (const scheduler::WorkerKey key : std::exchange(changed_, {})) {
    WorkerLink* const link = Find(key);
    if (link == nullptr) continue;
    link->change_noted = false;
    const bool busy = link->depth() > 0;
    if (busy == link->busy_reported || link->retiring) continue;
    link->busy_reported = busy;
    EmitWorker(*pools_->At(link->pool), *link->worker,
               busy ? WorkerState::kBusy : WorkerState::kIdle, nullptr, 0);
  }
}

}  // namespace prefork::engine
