// Worker events.
//
// Birth, readiness, retirement and death are logged as they happen. A worker that runs short tasks
// becomes busy and idle too often for that: it is only noted, and only while somebody watches
// workers; the report, at most ten times a second, logs those that are not what was said of them
// last.
#include "server/engine/worker_reporter.h"

#include <memory>
#include <utility>

#include "common/os/process_stats.h"
#include "server/engine/exit_reporter.h"

namespace prefork::engine {
namespace {

constexpr int64_t kReportEveryNs = 100'000'000;

}  // namespace

WorkerInfo WorkerReporter::Describe(const PoolEntry& pool, pool::Worker& worker,
                                    bool with_usage) const {
  WorkerInfo info;
  info.pool = pool.name;
  info.index = worker.index();
  info.generation = worker.generation();
  info.pid = worker.pid();
  info.dedicated = worker.dedicated();
  info.started_at = worker.started_at();
  const WorkerLink* const link = workers_->Find(worker.tag());
  if (link != nullptr && link->ready) {
    info.state = link->retiring      ? WorkerState::kRetiring
                 : link->depth() > 0 ? WorkerState::kBusy
                                     : WorkerState::kIdle;
    info.tasks_done = link->tasks_done;
    info.lane_depth = static_cast<uint32_t>(link->depth());
    const TaskSlot running = link->Running();
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

void WorkerReporter::Emit(const PoolEntry& pool, pool::Worker& worker, WorkerState state,
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

void WorkerReporter::NoteBusy(WorkerLink& link) {
  if (!core_->sessions.watching_workers() || link.change_noted) return;
  link.change_noted = true;
  changed_.push_back(link.key);
}

void WorkerReporter::ReportChanges() {
  if (changed_.empty() || report_timer_) return;
  if (core_->now_ns - reported_ns_ < kReportEveryNs) {
    report_timer_ = true;
    core_->loop->AddTimer(reported_ns_ + kReportEveryNs, [this] { report_timer_ = false; });
    return;
  }
  reported_ns_ = core_->now_ns;
  for (const scheduler::WorkerKey key : std::exchange(changed_, {})) {
    WorkerLink* const link = workers_->Find(key);
    if (link == nullptr) continue;
    link->change_noted = false;
    const bool busy = link->depth() > 0;
    if (busy == link->busy_reported || link->retiring) continue;
    link->busy_reported = busy;
    Emit(*pools_->At(link->pool), *link->worker, busy ? WorkerState::kBusy : WorkerState::kIdle);
  }
}

}  // namespace prefork::engine
