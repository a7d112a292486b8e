// What happens next, drawn step by step; each thing is in the file of those to whom it happens.

#include "tests/simulation/history.h"

#include <cstdint>
#include <cstdio>
#include <iterator>

namespace prefork::simulation {
namespace {

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
