#include "server/engine/pool_reporter.h"

#include <algorithm>
#include <memory>

namespace prefork::engine {

PoolState PoolReporter::StateOf(const PoolEntry& pool, std::string* reason) const {
  if (pool.pool->degraded()) *reason = pool.pool->degraded_reason();
  if (pool.deleting) return PoolState::kDeleted;
  if (pool.draining) return PoolState::kDraining;
  if (pool.pool->degraded()) return PoolState::kDegraded;
  // A failed reload is worth a word too, though the old workers go on.
  *reason = pool.pool->degraded_reason();
  if (pool.paused) return PoolState::kPaused;
  return pool.was_ready ? PoolState::kReady : PoolState::kStarting;
}

PoolInfo PoolReporter::Describe(const PoolEntry& pool) const {
  PoolInfo info;
  info.spec = pool.spec();
  info.state = StateOf(pool, &info.reason);
  for (pool::Worker* const worker : pool.pool->workers()) {
    const WorkerLink* const link = workers_->Find(worker->tag());
    if (link == nullptr || !link->ready) {
      ++info.workers_starting;
    } else if (link->retiring) {
      ++info.workers_retiring;
    } else if (link->depth() > 0) {
      ++info.workers_busy;
    } else {
      ++info.workers_idle;
    }
  }
  info.workers_starting = std::max(info.workers_starting, pool.pool->starting());
  const scheduler::SchedulerCounts counts = core_->scheduler.counts(pool.key);
  info.tasks_waiting = counts.waiting;
  info.tasks_queued = counts.queued;
  info.tasks_dispatched = counts.dispatched;
  info.tasks_running = counts.running;
  info.tasks_finished = pool.finished;
  info.queued_bytes = pool.queued_bytes;
  info.worker_exits = pool.pool->unexpected_exits();
  info.zygote_pid = pool.pool->zygote_pid();
  return info;
}

std::vector<PoolInfo> PoolReporter::DescribeAll() const {
  std::vector<PoolInfo> all;
  for (const auto& [name, pool] : *pools_) all.push_back(Describe(*pool));
  return all;
}

EventRecord PoolReporter::DescribeEvent(const PoolEntry& pool) const {
  EventRecord event;
  event.kind = EventRecord::Kind::kPool;
  event.time = TimeOf(core_->wall_ns);
  event.pool = std::make_shared<const PoolInfo>(Describe(pool));
  return event;
}

bool PoolReporter::Report(PoolEntry& pool) {
  std::string reason;
  const PoolState state = StateOf(pool, &reason);
  if (state == pool.reported_state && reason == pool.reported_reason &&
      pool.spec().size == pool.reported_size) {
    return false;
  }
  pool.reported_state = state;
  pool.reported_reason = std::move(reason);
  pool.reported_size = pool.spec().size;
  EventRecord event = DescribeEvent(pool);
  EventLog::Entry entry;
  entry.time_ns = core_->wall_ns;
  entry.pool = pool.key;
  entry.kind = event.kind;
  core_->log.Append(entry, &event, sizeof(PoolInfo));
  return true;
}

void PoolReporter::SetReadinessListener(std::function<void(const std::vector<PoolInfo>&)> changed) {
  readiness_ = std::move(changed);
  TellReadiness();
}

void PoolReporter::TellReadiness() const {
  if (readiness_) readiness_(DescribeAll());
}

}  // namespace prefork::engine
