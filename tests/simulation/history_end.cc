// The end of a history: the chaos stops, every task ends, every trace vanishes. Workers that sleep with
// nothing claimed sleep on: that holds nobody up.

#include <cstdint>
#include <utility>
#include <vector>

#include "server/scheduler/check.h"
#include "server/scheduler/types.h"
#include "tests/simulation/history.h"

namespace prefork::simulation {

using scheduler::Check;
using scheduler::IsTerminal;

namespace {

constexpr int64_t kMaxStepNs = 5'000'000;
// Everything has ended long before, or hangs.
constexpr uint64_t kMaxFinishingSteps = 100'000;

}  // namespace

uint64_t History::Finish() {
  for (const PoolKey pool : open_pools_) {
    ledger_.pools().at(pool).paused = false;
    ledger_.pools().at(pool).quiet = false;
    scheduler_.SetPaused(pool, false, now_ns_);
  }
  for (ClientKey client = 0; client < style_.clients; ++client) {
    ReadActions();
    ledger_.HoldClient(client, false);
    scheduler_.HoldClient(client, false, now_ns_);
  }
  style_.deaths = 0;
  EndHangingTasks();
  WakeBusyWorkers();
  uint64_t steps = 0;
  const auto unfinished = [this] {
    for (TaskSlot slot = 0; slot < kSlots; ++slot) {
      if (ledger_.task(slot).used && !IsTerminal(ledger_.task(slot).state)) {
        return true;
      }
    }
    return false;
  };
  for (ReadActions(); unfinished(); ReadActions()) {
    Check(++steps < kMaxFinishingSteps, "every task ends");
    AnswerStart();
    std::vector<WorkerKey> dead;
    for (const auto& [key, worker] : workers_) {
      Deliver(*worker, /*everything=*/true);
      WorkInLane(*worker);
      if (worker->dead()) {
        dead.push_back(key);
      }
    }
    for (const WorkerKey key : dead) {
      ReportDeath(key);
    }
    for (const PoolKey pool : open_pools_) {
      if (AwakeWorkers(pool) < 2) {
        AddWorker(pool);
      }
    }
    LetTimePass(random_.Between(0, kMaxStepNs));
  }
  Vanish();
  return steps;
}

void History::EndHangingTasks() {
  ReadActions();
  for (TaskSlot slot = 0; slot < kSlots; ++slot) {
    const TaskRecord& task = ledger_.task(slot);
    if (task.used && !IsTerminal(scheduler_.state(slot)) && task.hangs &&
        task.spec.timeout_ns == 0) {
      ledger_.Cancelled(slot, EndCause::kCancelledByClient, now_ns_);
      scheduler_.Cancel(slot, EndCause::kCancelledByClient, /*force=*/false, now_ns_);
      Told();
    }
  }
}

void History::WakeBusyWorkers() {
  for (const auto& [key, worker] : workers_) {
    // Nobody else can run what waits for a process of its own.
    worker->asleep = worker->asleep && worker->running() == kNone && !worker->dedicated();
  }
}

size_t History::AwakeWorkers(PoolKey pool) const {
  size_t awake = 0;
  for (const auto& [key, worker] : workers_) {
    awake += worker->pool() == pool && !worker->asleep ? 1 : 0;
  }
  return awake;
}

void History::Vanish() {
  Check(scheduler_.NextDeadlineNs() == INT64_MAX, "an idle scheduler has no timers");
  for (TaskSlot slot = 0; slot < kSlots; ++slot) {
    if (ledger_.task(slot).used) {
      scheduler_.ForgetTask(slot);
      ledger_.task(slot) = TaskRecord();
    }
  }
  while (!starts_.empty()) {
    AnswerStart();
  }
  while (!workers_.empty()) {
    FakeWorker& worker = *workers_.begin()->second;
    if (!worker.dead()) {
      worker.Die(EndCause::kWorkerDied);
    }
    ReportDeath(worker.key());
    ReadActions();
  }
  for (const PoolKey pool : std::exchange(open_pools_, {})) {
    ledger_.pools().at(pool).removed = true;
    scheduler_.RemovePool(pool, now_ns_);
  }
  ReadActions();
  scheduler_.CheckInvariants();
  const scheduler::SchedulerFootprint left = scheduler_.footprint();
  Check(left.tasks + left.task_details + left.timers + left.flows + left.policies +
                left.dependencies + left.workers + left.pools ==
            0,
        "nothing is left when everything is forgotten");
}

}  // namespace prefork::simulation
