// Workers: they come, claim, finish, sleep, retire and die, and some talk nonsense.

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <utility>

#include "server/scheduler/check.h"
#include "server/scheduler/types.h"
#include "tests/simulation/history.h"

namespace prefork::simulation {

using scheduler::Check;

void History::AddWorker(PoolKey pool) {
  const WorkerKey key = next_worker_++;
  if (trace_) {
    std::printf("  worker w%u in pool %u\n", key, pool);
  }
  workers_.emplace(key, std::make_unique<FakeWorker>(key, pool, /*dedicated=*/false));
  scheduler_.WorkerReady(key, pool, kNone, now_ns_);
  Told();
}

void History::RetireWorker() {
  FakeWorker* worker = AnyWorker();
  if (worker == nullptr || worker->retired) {
    return;
  }
  if (worker->dedicated()) {
    ReadActions();  // for whom it is reserved is known then
  }
  if (trace_) {
    std::printf("  retire w%u\n", worker->key());
  }
  worker->retired = true;
  worker->idle_reported = false;
  scheduler_.RetireWorker(worker->key(), now_ns_);
  for (TaskSlot slot = 0; slot < kSlots; ++slot) {
    if (ledger_.task(slot).used && ledger_.task(slot).reserved_by == worker->key()) {
      ledger_.LostReservation(slot);
    }
  }
  Told();
}

void History::AnswerStart() {
  if (starts_.empty()) {
    return;
  }
  const size_t chosen = random_.Below(starts_.size());
  const TaskSlot slot = starts_[chosen];
  starts_.erase(starts_.begin() + static_cast<std::ptrdiff_t>(chosen));
  TaskRecord& task = ledger_.task(slot);
  PoolRecord& pool = ledger_.pools().at(task.spec.pool);
  if (random_.OneIn(5)) {
    if (trace_) {
      std::printf("  start for %u failed\n", slot);
    }
    --pool.dedicated;
    task.reported = EndCause::kStartFailed;
    scheduler_.DedicatedFailed(slot, now_ns_);
  } else {
    const WorkerKey key = next_worker_++;
    if (trace_) {
      std::printf("  worker w%u in pool %u for %u\n", key, task.spec.pool, slot);
    }
    auto worker = std::make_unique<FakeWorker>(key, task.spec.pool, /*dedicated=*/true);
    worker->retired = pool.removed;
    workers_.emplace(key, std::move(worker));
    task.reserved_by = key;
    scheduler_.WorkerReady(key, task.spec.pool, slot, now_ns_);
  }
  Told();
}

void History::WorkInLane(FakeWorker& worker) {
  if (worker.dead() || worker.asleep) {
    return;
  }
  const TaskSlot running = worker.running();
  if (running == kNone) {
    const TaskSlot claimed = worker.Claim(now_ns_);
    if (claimed != kNone) {
      Check(!ledger_.pools().at(worker.pool()).quiet, "nothing begins to run in a paused pool");
      if (trace_) {
        std::printf("  w%u claims %u\n", worker.key(), claimed);
      }
    }
    return;
  }
  const TaskRecord& task = ledger_.task(running);
  if (task.asked && task.obeys) {
    worker.Finish(EndCause::kCancelledByClient, now_ns_);
  } else if (!task.hangs && now_ns_ - worker.running_since_ns() >= task.run_ns) {
    worker.Finish(task.outcome, now_ns_);
  }
  if (trace_ && worker.running() == kNone) {
    std::printf("  w%u finishes %u\n", worker.key(), running);
  }
}

void History::KillWorker(FakeWorker& worker) {
  worker.Die(random_.OneIn(3)   ? EndCause::kOutOfMemory
             : random_.OneIn(5) ? EndCause::kProtocolViolation
                                : EndCause::kWorkerDied);
  if (trace_) {
    std::printf("  w%u dies\n", worker.key());
  }
}

void History::StopOrContinue(FakeWorker& worker) {
  worker.asleep = !worker.asleep;
  if (trace_) {
    std::printf("  w%u %s\n", worker.key(), worker.asleep ? "falls asleep" : "wakes up");
  }
}

void History::SendNonsense() {
  ReadActions();
  // About a task that is not in that worker's lane, from a worker that may be long dead.
  const TaskSlot slot = AnySlot();
  const WorkerKey key = random_.Below(next_worker_ + 2);
  if (ledger_.task(slot).worker == key) {
    return;
  }
  switch (random_.Below(6)) {
    case 0:
      scheduler_.Finished(key, slot, EndCause::kCompleted, kMs, now_ns_);
      break;
    case 1:
      scheduler_.Started(key, slot, now_ns_, now_ns_);
      break;
    case 2:
      scheduler_.Revoked(key, slot, now_ns_);
      break;
    case 3:
      scheduler_.RevokeRefused(key, slot, now_ns_);
      break;
    case 4:
      scheduler_.WorkerDied(next_worker_ + key, slot, EndCause::kWorkerDied, now_ns_);
      break;
    default:
      if (std::find(starts_.begin(), starts_.end(), slot) == starts_.end()) {
        scheduler_.DedicatedFailed(slot, now_ns_);
      }
  }
  Told();
}

}  // namespace prefork::simulation
