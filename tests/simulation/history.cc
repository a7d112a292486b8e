#include "tests/simulation/history.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "server/scheduler/check.h"
#include "server/scheduler/types.h"

namespace prefork::simulation {

using scheduler::Check;
using scheduler::IsTerminal;

namespace {

constexpr int64_t kUs = 1'000;
constexpr int64_t kMs = 1'000'000;
constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kDay = 86'400 * kSecond;
constexpr uint32_t kStepsBetweenFullChecks = 64;

}  // namespace

History::History(uint64_t seed, bool trace)
    : random_(seed), trace_(trace), ledger_(&scheduler_, &workers_, kSlots) {
  style_ = Style{.batches = random_.OneIn(2),
                 .tiny = random_.OneIn(2),
                 .dedicated = random_.OneIn(3),
                 .retries = random_.OneIn(2),
                 .timeouts = random_.OneIn(2),
                 .after = random_.OneIn(3),
                 .deaths = random_.OneIn(2) ? 0U : 1 + random_.Below(12),
                 .sleeps = random_.OneIn(3),
                 .clients = 1 + random_.Below(4),
                 .priorities = 1 + random_.Below(3),
                 .max_workers = 1 + random_.Below(8),
                 .late = random_.OneIn(2) ? 0U : 30U,
                 .lane_capacity = 2 + random_.Below(20)};
  AddPool();
  if (random_.OneIn(3)) {
    AddPool();
  }
}

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

void History::Step() {
  ++steps_;
  const uint32_t dice = random_.Below(100);
  FakeWorker* worker = AnyWorker();
  if (worker != nullptr && !worker->dead() && dice < style_.deaths) {
    KillWorker(*worker);
  } else if (dice < 30) {
    SubmitTask();
  } else if (dice < 33) {
    CancelTask();
  } else if (dice < 37) {
    if (workers_.size() < style_.max_workers) {
      AddWorker(random_.Of(open_pools_));
    }
  } else if (dice < 38) {
    RetireWorker();
  } else if (dice < 39) {
    PauseOrResume();
  } else if (dice < 42) {
    AnswerStart();
  } else if (dice < 45) {
    ForgetTask();
  } else if (dice < 46 && random_.OneIn(20)) {
    RemovePool();
  } else if (dice < 47) {
    SendNonsense();
  } else if (dice < 48) {
    HoldOrReleaseClient();
  } else if (dice < 50 && style_.sleeps && worker != nullptr) {
    StopOrContinue(*worker);
  } else if (dice < 55) {
    const uint32_t scale = random_.Below(1000);
    LetTimePass(scale == 0    ? random_.Between(0, kDay)
                : scale < 20  ? random_.Between(0, 2 * kSecond)
                : scale < 200 ? random_.Between(0, 10 * kMs)
                              : random_.Between(0, 300 * kUs));
  } else if (worker != nullptr && worker->dead()) {
    ReportDeath(worker->key());
  } else if (worker != nullptr && dice < 80) {
    WorkInLane(*worker);
  } else if (worker != nullptr) {
    Deliver(*worker, /*everything=*/random_.OneIn(2));
  }
  if (!style_.batches || random_.OneIn(4)) {
    ReadActions();
  }
  if (steps_ % kStepsBetweenFullChecks == 0) {
    scheduler_.CheckInvariants();
  }
}

void History::Told() { ledger_.Sync(now_ns_); }

TaskRecord History::Behaviour(PoolKey pool) {
  TaskRecord record;
  record.run_ns = style_.tiny && !random_.OneIn(50) ? random_.Between(0, 20 * kUs)
                                                    : random_.Between(0, 50 * kMs);
  record.hangs = random_.OneIn(40);
  record.obeys = random_.OneIn(2);
  record.outcome = random_.Percent(80)   ? EndCause::kCompleted
                   : random_.Percent(80) ? EndCause::kTaskError
                   : random_.OneIn(2)    ? EndCause::kCancelledByClient
                                         : EndCause::kInternalLimit;
  TaskSpec& spec = record.spec;
  spec.pool = pool;
  spec.client = random_.Below(style_.clients);
  spec.priority = static_cast<int32_t>(random_.Below(style_.priorities)) - 1;
  spec.dedicated = style_.dedicated && random_.OneIn(4);
  spec.grace_ns = random_.OneIn(3) ? 0 : random_.Between(1, 20 * kMs);
  if (style_.timeouts) {
    spec.timeout_ns = random_.OneIn(3) ? random_.Between(1, 30 * kMs) : 0;
    spec.queue_timeout_ns = random_.OneIn(5) ? random_.Between(1, 50 * kMs) : 0;
  }
  if (random_.OneIn(12)) {
    spec.not_before_ns = now_ns_ + random_.Between(-kMs, 20 * kMs);
  }
  if (style_.retries) {
    spec.retry = {.max_attempts = 1 + random_.Below(5),
                  .on = random_.Below(16),
                  // What is queued again at once mixes with the other events of a batch.
                  .backoff_ns = style_.batches ? random_.Between(1, 5 * kMs)
                                               : random_.Between(0, 1) * random_.Between(0, kMs),
                  .backoff_multiplier = 1.5,
                  .max_backoff_ns = 10 * kMs};
  }
  if (style_.after && random_.OneIn(3)) {
    for (uint32_t i = random_.Below(3) + 1; i > 0; --i) {
      // Mostly unfinished ones, as the engine names them, but whatever it names has to be handled.
      const TaskSlot before = AnySlot();
      if (!IsTerminal(ledger_.task(before).state) || random_.OneIn(10)) {
        spec.after.push_back(before);
      }
    }
  }
  return record;
}

void History::SubmitTask() {
  const TaskSlot slot = AnySlot();
  if (ledger_.task(slot).used) {
    return;
  }
  TaskRecord record = Behaviour(random_.Of(open_pools_));
  if (trace_) {
    std::printf("  submit %u to pool %u\n", slot, record.spec.pool);
  }
  const absl::Status status = scheduler_.Submit(slot, record.spec, now_ns_);
  const scheduler::SchedulerCounts counts = scheduler_.counts(record.spec.pool);
  if (!status.ok()) {
    Check(status.code() == absl::StatusCode::kResourceExhausted &&
              counts.waiting + counts.queued + counts.dispatched + counts.running ==
                  ledger_.pools().at(record.spec.pool).limits.max_queued,
          "only a full pool refuses a task");
    return;
  }
  ledger_.Submitted(slot, std::move(record), now_ns_);
  Told();
}

void History::CancelTask() {
  const TaskSlot slot = AnySlot();
  if (!ledger_.task(slot).used || IsTerminal(scheduler_.state(slot))) {
    return;
  }
  const EndCause cause = random_.OneIn(4) ? EndCause::kClientGone : EndCause::kCancelledByClient;
  const bool force = random_.OneIn(4);
  if (trace_) {
    std::printf("  cancel %u%s\n", slot, force ? " with force" : "");
  }
  ledger_.Cancelled(slot, cause, now_ns_);
  scheduler_.Cancel(slot, cause, force, now_ns_);
  Told();
}

void History::HoldOrReleaseClient() {
  const ClientKey client = random_.Below(style_.clients);
  const bool held = !ledger_.IsHeld(client) && random_.OneIn(2);
  if (trace_) {
    std::printf("  %s client %u\n", held ? "hold" : "release", client);
  }
  ReadActions();  // what was put back meanwhile has its place in the queue then
  ledger_.HoldClient(client, held);
  scheduler_.HoldClient(client, held, now_ns_);
  Told();
}

void History::ForgetTask() {
  for (TaskSlot slot = 0; slot < kSlots; ++slot) {
    TaskRecord& task = ledger_.task(slot);
    if (task.used && IsTerminal(task.state) && !random_.OneIn(4)) {
      scheduler_.ForgetTask(slot);
      task = TaskRecord();
    }
  }
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

void History::LetTimePass(int64_t ns) {
  // An engine reads what is there before it looks at the clock; only a little may be missed.
  ReadActions();
  if (ns >= kLateNewsNs || !random_.OneIn(4)) {
    for (const auto& [key, worker] : workers_) {
      Deliver(*worker, /*everything=*/true);
    }
    ReadActions();
  }
  now_ns_ += ns;
  if (trace_) {
    std::printf("  time is %lld\n", static_cast<long long>(now_ns_));
  }
  scheduler_.AdvanceTo(now_ns_);
  Told();
  ReadActions();
}

FakeWorker* History::AnyWorker() {
  if (workers_.empty()) {
    return nullptr;
  }
  auto it = workers_.begin();
  std::advance(it, random_.Below(workers_.size()));
  return it->second.get();
}

FakeWorker* History::Find(WorkerKey key) {
  const auto it = workers_.find(key);
  return it == workers_.end() ? nullptr : it->second.get();
}

}  // namespace prefork::simulation
