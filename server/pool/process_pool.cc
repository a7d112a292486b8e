// How a pool keeps its size.
//
//   spec, Resize, Lend, Reload, RetireWorker, TasksDone  what is wanted
//   ZygoteKeeper --- current zygote                      what there is
//   Slot 0..size+lent-1 --- serving, replacement
//   DeathTally, RestartPacer                             how fast to go on after failures
//                 |
//             Reconcile(): forks what is missing, within kForksInFlight, when its pacer allows it
//
// Every event changes the books first and then calls Reconcile, which may run at any time and does
// nothing when nothing is missing. No timer is armed unless a slot waits for its pacer, a worker
// has to become ready or end, has an age limit, or is on probation.
//
// A worker leaves its slot when it dies (pidfd), is told to retire, or its zygote died; so the next
// FORK goes out in the same pass as the death is seen. What is left of it is settled beside that
// and ends in OnExited. It stays in pooled_ from FORK until then.
//
// Replacement first: a worker that is due (tasks, RSS, age, reload) serves on until its replacement
// is ready, and only then is its owner asked to retire it. Workers of a dead zygote can't wait:
// they finish what they have.
//
// What zygotes and workers tell is in process_pool_events.cc.
//
// DEGRADED: no zygote can be started, or many starts failed in a row. Then one slot at a time is
// tried, each at its pacer's slow pace, until a worker is ready.
#include "server/pool/process_pool.h"

#include <signal.h>

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "common/os/check.h"
#include "common/os/cpu_quota.h"
#include "common/os/spawn.h"
#include "common/text/views.h"
#include "server/pool/exit_verdict.h"
#include "server/pool/runtime_command.h"

namespace prefork::pool {
namespace {

// FORKs that a zygote has not answered. It forks one after the other anyway, and each carries six
// descriptors, which count against RLIMIT_NOFILE while they are in flight.
constexpr size_t kForksInFlight = 8;
// Dedicated workers have indexes from here on, past every pool's size.
constexpr uint32_t kFirstDedicatedIndex = 1 << 20;
// An idle worker ends at once when its control socket closes; this is for one that does not.
constexpr absl::Duration kRetirePatience = absl::Seconds(5);

PoolSpec Effective(PoolSpec spec) {
  if (spec.size == 0) spec.size = static_cast<uint32_t>(os::UsableCpus());
  spec.size = std::min(spec.size, kFirstDedicatedIndex);
  return spec;
}

absl::StatusOr<ZygoteOptions> MakeZygoteOptions(const PoolSpec& spec,
                                                const PoolEnvironment& environment) {
  absl::StatusOr<std::vector<std::string>> argv = ZygoteArgv(spec, environment.worker_program);
  if (!argv.ok()) return argv.status();
  return ZygoteOptions{*std::move(argv), ZygoteEnvironment(spec, os::CurrentEnvironment()),
                       spec.cwd, spec.start_timeout};
}

}  // namespace

std::unique_ptr<WorkerPool> WorkerPool::Create(const PoolSpec& spec,
                                               const PoolEnvironment& environment) {
  return std::make_unique<ProcessPool>(spec, environment);
}

ProcessPool::ProcessPool(const PoolSpec& spec, const PoolEnvironment& environment)
    : spec_(Effective(spec)),
      environment_(environment),
      zygotes_(spec.name, MakeZygoteOptions(spec, environment), environment.loop,
               environment.orphans, this),
      tally_(spec_.size),
      wake_(environment.loop),
      shutdown_deadline_(environment.loop) {
  PREFORK_CHECK(environment.loop != nullptr && environment.observer != nullptr &&
                environment.orphans != nullptr && environment.oom_proof != nullptr);
}

// --- what is wanted -----------------------------------------------------------------------------

void ProcessPool::Start() {
  if (phase_ != Phase::kNew) return;
  phase_ = Phase::kRunning;
  Resize(spec_.size);
  zygotes_.Start();
}

void ProcessPool::Resize(uint32_t size) {
  if (phase_ == Phase::kStopping || phase_ == Phase::kStopped) return;
  spec_.size = size;
  spec_ = Effective(std::move(spec_));
  tally_.SetPoolSize(spec_.size);
  FitSlots("the pool was made smaller");
}

void ProcessPool::Lend(uint32_t workers) {
  if (phase_ != Phase::kRunning || workers == lent_) return;
  lent_ = workers;
  FitSlots("it stood in for a worker that waited");
}

void ProcessPool::FitSlots(std::string_view why_fewer) {
  while (slots_.size() < places()) {
    slots_.push_back(std::make_unique<Slot>(static_cast<uint32_t>(slots_.size())));
  }
  for (size_t i = places(); i < slots_.size(); ++i) {
    while (PooledWorker* worker = slots_[i]->serving()) {
      slots_[i]->Detach(worker);
      WantRetirement(*worker, ExitReason::kScaledDown, why_fewer);
    }
  }
  environment_.observer->OnPoolChanged();
  Reconcile();
}

void ProcessPool::Reload() {
  if (phase_ != Phase::kRunning) return;
  zygotes_.Reload();
  Reconcile();
}

void ProcessPool::StartDedicated(uint64_t cookie) {
  if (phase_ != Phase::kRunning) {
    return FailDedicated(cookie, absl::UnavailableError("the pool is not running"));
  }
  if (zygotes_.failing()) {
    return FailDedicated(cookie, absl::UnavailableError(zygotes_.failure()));
  }
  if (dedicated_running_ + dedicated_waiting_.size() >= spec_.max_dedicated) {
    return FailDedicated(
        cookie, absl::ResourceExhaustedError(absl::StrCat(
                    "pool '", spec_.name, "' has its max_dedicated of ", spec_.max_dedicated,
                    " dedicated processes already; wait for one to end or raise the limit")));
  }
  dedicated_waiting_.push_back(cookie);
  Reconcile();
}

bool ProcessPool::WantsRetirement(const Worker& worker) const {
  const PooledWorker* pooled = Find(worker);
  return pooled != nullptr && pooled->wants_retirement;
}

void ProcessPool::RetireWorker(Worker& worker) {
  PooledWorker* pooled = Find(worker);
  if (pooled == nullptr) return;
  if (pooled->slot != nullptr) pooled->slot->Detach(pooled);
  CancelTimers(*pooled);
  pooled->process->Retire(pooled->retire_reason, kRetirePatience);
  Reconcile();
}

void ProcessPool::TasksDone(Worker& worker, uint64_t count) {
  PooledWorker* pooled = Find(worker);
  if (pooled == nullptr || pooled->slot == nullptr || count == 0) return;
  Proven(*pooled);
  const bool due =
      pooled->meter.TasksDone(count, worker.pid(), environment_.loop->clock()->MonotonicNs());
  if (!due || !worker.ready() || pooled->slot->serving() != pooled || pooled->slot->renewing()) {
    return;
  }
  pooled->slot->Renew();
  Reconcile();
}

// --- keeping it so ------------------------------------------------------------------------------

void ProcessPool::Reconcile() {
  if (phase_ == Phase::kStopping) return ContinueShutdown();
  if (phase_ != Phase::kRunning) return;
  ReleaseOldZygotes();
  ZygoteProcess* zygote = zygotes_.current();
  if (zygote != nullptr && zygote->state() == ZygoteProcess::State::kReady) {
    ForkDedicated(*zygote);
    ForkForSlots(*zygote);
  }
}

void ProcessPool::ForkForSlots(ZygoteProcess& zygote) {
  const int64_t now_ns = environment_.loop->clock()->MonotonicNs();
  int64_t next_ns = std::numeric_limits<int64_t>::max();
  for (size_t i = 0; i < places(); ++i) {
    Slot& slot = *slots_[i];
    if (!slot.NeedsFork()) continue;
    if (zygote.forks_outstanding() >= kForksInFlight) break;
    if (tally_.degraded() && ASlotIsStarting()) break;
    if (slot.pacer().not_before_ns() > now_ns) {
      next_ns = std::min(next_ns, slot.pacer().not_before_ns());
      continue;
    }
    WorkerProcessOptions options;
    options.index = slot.index();
    options.generation = slot.TakeGeneration();
    options.start_timeout = spec_.start_timeout;
    const absl::Status status = ForkWorker(zygote, options, &slot);
    if (status.ok()) continue;
    slot.pacer().StartFailed(now_ns);
    next_ns = std::min(next_ns, slot.pacer().not_before_ns());
    if (tally_.Failed(DeathTally::Kind::kStart, std::string(status.message()))) {
      Later([this] { environment_.observer->OnPoolChanged(); });
    }
  }
  if (next_ns == std::numeric_limits<int64_t>::max()) {
    wake_.Cancel();
  } else {
    wake_.SetAt(next_ns, [this] { Reconcile(); });
  }
}

void ProcessPool::ForkDedicated(ZygoteProcess& zygote) {
  while (!dedicated_waiting_.empty() && zygote.forks_outstanding() < kForksInFlight) {
    WorkerProcessOptions options;
    options.index = kFirstDedicatedIndex;
    options.generation = next_dedicated_generation_++;
    options.dedicated = true;
    options.cookie = dedicated_waiting_.front();
    options.start_timeout = spec_.start_timeout;
    dedicated_waiting_.pop_front();
    const absl::Status status = ForkWorker(zygote, options, nullptr);
    if (!status.ok()) FailDedicated(options.cookie, status);
  }
}

absl::Status ProcessPool::ForkWorker(ZygoteProcess& zygote, const WorkerProcessOptions& options,
                                     Slot* slot) {
  const WorkerProcess::Environment environment = {environment_.loop, environment_.orphans,
                                                  environment_.oom_proof, this};
  absl::StatusOr<std::unique_ptr<WorkerProcess>> process =
      WorkerProcess::Prepare(options, environment);
  if (!process.ok()) return process.status();
  absl::Status asked = zygote.Fork({options.index, options.generation}, options.dedicated,
                                   (*process)->GivenDescriptors());
  if (!asked.ok()) return asked;
  (*process)->CloseGivenDescriptors();
  auto worker =
      std::make_unique<PooledWorker>(*std::move(process), &zygote, slot, spec_, environment_.loop);
  if (slot != nullptr) {
    slot->Attach(worker.get());
  } else {
    ++dedicated_running_;
  }
  pooled_[{options.index, options.generation}] = std::move(worker);
  return absl::OkStatus();
}

bool ProcessPool::ASlotIsStarting() const {
  const auto is_starting = [](const PooledWorker* worker) {
    return worker != nullptr && (worker->process->state() == WorkerState::kForking ||
                                 worker->process->state() == WorkerState::kStarting);
  };
  return std::any_of(slots_.begin(), slots_.end(), [&](const auto& slot) {
    return is_starting(slot->serving()) || is_starting(slot->replacement());
  });
}

void ProcessPool::ReleaseOldZygotes() {
  for (const auto& zygote : zygotes_.old()) {
    const bool in_use = std::any_of(pooled_.begin(), pooled_.end(), [&](const auto& entry) {
      return entry.second->zygote == zygote.get();
    });
    if (!in_use) zygotes_.Release(*zygote);
  }
}

// --- the books ---------------------------------------------------------------------------------

PooledWorker* ProcessPool::Find(const Worker& worker) const {
  return Find(zygote::WorkerName{worker.index(), worker.generation()});
}

PooledWorker* ProcessPool::Find(zygote::WorkerName name) const {
  const auto place = pooled_.find({name.index, name.generation});
  return place == pooled_.end() ? nullptr : place->second.get();
}

void ProcessPool::FailDedicated(uint64_t cookie, absl::Status why) {
  Later([this, cookie, why = std::move(why)] {
    environment_.observer->OnDedicatedFailed(cookie, why);
  });
}

void ProcessPool::FailWaitingDedicated() {
  for (const uint64_t cookie : dedicated_waiting_) {
    FailDedicated(cookie, absl::UnavailableError(phase_ == Phase::kRunning ? zygotes_.failure()
                                                                           : "shutting down"));
  }
  dedicated_waiting_.clear();
}

void ProcessPool::Later(std::function<void()> action) {
  environment_.loop->Post([action = std::move(action), alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired()) action();
  });
}

void ProcessPool::Log(log::Level level, std::string_view line) {
  environment_.observer->OnPoolMessage(
      level, absl::StrCat("pool '", spec_.name, "': ", text::ToAbsl(line)));
}

// --- the end ------------------------------------------------------------------------------------

void ProcessPool::Shutdown(absl::Duration grace, std::function<void()> done) {
  PREFORK_CHECK(phase_ != Phase::kStopping && phase_ != Phase::kStopped);
  phase_ = Phase::kStopping;
  shutdown_done_ = std::move(done);
  wake_.Cancel();
  FailWaitingDedicated();
  shutdown_deadline_.Set(grace, [this] {
    for (const auto& [name, worker] : pooled_) {
      worker->process->Kill(ExitReason::kShutdown, "alive at the end of the shutdown's grace");
    }
    zygotes_.Kill("alive at the end of the shutdown's grace");
  });
  for (const auto& [name, worker] : pooled_) {
    CancelTimers(*worker);
    worker->retire_reason = ExitReason::kShutdown;
    if (worker->process->state() == WorkerState::kForking) {
      worker->process->Kill(ExitReason::kShutdown, "the pool is shut down");
    } else {
      worker->process->Retire(ExitReason::kShutdown, absl::InfiniteDuration());
      // What may not be signalled is left to SIGKILL and the orphan reaper.
      worker->process->SignalTree(SIGTERM, /*include_worker=*/true).IgnoreError();
    }
  }
  ContinueShutdown();
}

void ProcessPool::ContinueShutdown() {
  if (!pooled_.empty()) return;
  zygotes_.Stop();
  if (!zygotes_.empty()) return;
  phase_ = Phase::kStopped;
  shutdown_deadline_.Cancel();
  environment_.orphans->Clear(
      kClearPatience, [this, alive = std::weak_ptr<bool>(alive_)](const std::vector<pid_t>&) {
        if (!alive.expired()) Later([done = std::move(shutdown_done_)] { done(); });
      });
}

// --- what there is ------------------------------------------------------------------------------

bool ProcessPool::degraded() const { return zygotes_.failing() || tally_.degraded(); }

std::string ProcessPool::degraded_reason() const {
  if (zygotes_.failing()) return zygotes_.failure();
  if (tally_.degraded()) {
    return absl::StrCat("pool '", spec_.name, "': ", tally_.reason(),
                        ". Mend what it says; the pool goes on trying slowly, a reload tries at "
                        "once.");
  }
  return zygotes_.failure();
}

int32_t ProcessPool::zygote_pid() const {
  return zygotes_.current() == nullptr ? 0 : zygotes_.current()->pid();
}

uint32_t ProcessPool::starting() const {
  return static_cast<uint32_t>(
      std::count_if(slots_.begin(), slots_.begin() + std::min<size_t>(spec_.size, slots_.size()),
                    [](const auto& slot) {
                      return slot->serving() == nullptr || !slot->serving()->process->ready();
                    }));
}

}  // namespace prefork::pool
