// The operator: pools come, pause and go.

#include <cstdio>
#include <vector>

#include "server/scheduler/types.h"
#include "tests/simulation/history.h"

namespace prefork::simulation {

using scheduler::IsTerminal;

void History::AddPool() {
  const PoolKey pool = next_pool_++;
  const scheduler::PoolLimits limits{.max_queued = 8 + random_.Below(kSlots),
                                     .max_dedicated = 1 + random_.Below(3),
                                     .lane_target_ns = random_.Between(100 * kUs, 2 * kMs),
                                     .max_lane_depth = 1 + random_.Below(16),
                                     .max_crashes = 1 + random_.Below(3)};
  scheduler_.AddPool(pool, limits);
  ledger_.pools()[pool] = PoolRecord{.limits = limits};
  open_pools_.push_back(pool);
}

void History::PauseOrResume() {
  const PoolKey key = random_.Of(open_pools_);
  PoolRecord& pool = ledger_.pools().at(key);
  pool.paused = !pool.paused && random_.OneIn(2);
  pool.quiet = false;
  if (trace_) {
    std::printf("  %s pool %u\n", pool.paused ? "pause" : "resume", key);
  }
  scheduler_.SetPaused(key, pool.paused, now_ns_);
  Told();
}

void History::RemovePool() {
  const PoolKey key = random_.Of(open_pools_);
  if (trace_) {
    std::printf("  remove pool %u\n", key);
  }
  ReadActions();  // for whom dedicated workers are reserved is known then
  std::erase(open_pools_, key);
  for (TaskSlot slot = 0; slot < kSlots; ++slot) {
    const TaskRecord& task = ledger_.task(slot);
    if (!task.used || task.spec.pool != key || IsTerminal(scheduler_.state(slot))) {
      continue;
    }
    // A reserved task is cancelled, not put back.
    ledger_.Cancelled(slot, EndCause::kPoolDeleted, now_ns_);
  }
  for (const auto& [worker_key, worker] : workers_) {
    if (worker->pool() == key) {
      worker->idle_reported = worker->idle_reported && worker->retired;
      worker->retired = true;
    }
  }
  for (TaskSlot slot = 0; slot < kSlots; ++slot) {
    if (ledger_.task(slot).used && ledger_.task(slot).spec.pool == key &&
        ledger_.task(slot).reserved_by != kNone) {
      ledger_.LostReservation(slot);
    }
  }
  ledger_.pools().at(key).removed = true;
  scheduler_.RemovePool(key, now_ns_);
  Told();
  AddPool();
}

}  // namespace prefork::simulation
