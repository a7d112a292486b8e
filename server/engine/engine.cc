// The engine: one thread that owns every task, session, pool and lane.
//
//   rpc threads --Post--> inbox -+                                      +-> lanes --> workers
//   lanes, pidfds, sockets ------+--> events --> SCHEDULER --> actions --+-> signals, forks
//   one timer -------------------+       (pure)                         +-> sessions, watches
//
// A pass, after the loop has run what woke it:
//
//   1. read the active lanes; tell the scheduler what they say           (Workers::DrainActive)
//   2. tell the scheduler the time if a deadline has come
//   3. carry out its actions until there are none; publish each lane and wake each worker once
//                                                                        (Workers::CarryOut)
//   4. answer orders about pools whose effect is real now                (PoolManager::Settle)
//   5. flush the sinks of sessions, let watches read the log             (Sessions)
//   6. forget finished tasks whose time is over; set the timer
//
// So a burst costs one flush, one publication and at most one wake-up for each peer, however many
// tasks are in it. The loop sleeps when a pass made no progress and all active lanes, announced as
// not being looked at, were still empty; a few microseconds later when a lone task may be answered
// by then (linger.h). With nothing to do there is no timer and no wake-up.
//
// Who may touch what: everything here belongs to the thread, except Post, Pack, segments, options,
// Start and Stop. Sinks and answers are called on the thread and must not block.
//
// Death: of a worker, see workers_events.cc. Of a client, CloseSession cancels what is not detached.
// Of the daemon: every worker sees its sockets close and ends itself.
#include "server/engine/engine.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/os/check.h"
#include "server/engine/engine_impl.h"
#include "server/engine/errors.h"

namespace prefork::engine {
namespace {

// Finished tasks may stay this much longer, so that their expiry wakes the engine at most so often.
constexpr int64_t kExpiryGrainNs = 1'000'000'000;
constexpr int64_t kSoonNs = 100'000'000;
// What orphans and unread results may delay the end.
constexpr absl::Duration kOrphanLimit = absl::Seconds(5);
constexpr int64_t kDeliveryLimitNs = 1'000'000'000;

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> Engine::Create(const EngineOptions& options,
                                                       os::Clock* clock) {
  return EngineImpl::Create(options, clock, nullptr);
}

absl::StatusOr<std::unique_ptr<EngineImpl>> EngineImpl::Create(const EngineOptions& options,
                                                               os::Clock* clock,
                                                               PoolFactory factory) {
  std::unique_ptr<EngineImpl> engine(new EngineImpl(options, clock, std::move(factory)));
  if (absl::Status status = engine->Init(); !status.ok()) return status;
  return engine;
}

EngineImpl::EngineImpl(const EngineOptions& options, os::Clock* clock, PoolFactory factory)
    : given_factory_(std::move(factory)),
      core_(options, clock),
      life_(&core_, [this](const TaskRecord& task) { pool_manager_.OnTaskEnd(task); }),
      workers_(&core_, &pools_, &life_),
      pool_manager_(&core_, &pools_, &workers_,
                    [this](const pool::PoolSpec& spec, pool::PoolObserver* observer) {
                      return MakePool(spec, observer);
                    }),
      lending_(&core_, &pools_, &workers_, os::ReadProcessStats),
      admission_(&core_, &pools_, &life_),
      linger_(options.usable_cpus) {
  core_.pools = &pools_;
}

EngineImpl::~EngineImpl() { Stop(); }

absl::Status EngineImpl::Init() {
  absl::StatusOr<std::unique_ptr<os::EventLoop>> loop = os::EventLoop::Create(core_.clock);
  if (!loop.ok()) return loop.status();
  loop_ = *std::move(loop);
  core_.loop = loop_.get();
  if (!given_factory_) {
    absl::StatusOr<std::unique_ptr<pool::OrphanReaper>> orphans =
        pool::OrphanReaper::Create(loop_.get());
    if (!orphans.ok()) return orphans.status();
    orphans_ = *std::move(orphans);
  }
  loop_->SetPassHandler({.run = [this] { return RunPass(); },
                         .arm = [this] { workers_.Announce(); },
                         .disarm = [this] { core_.ReadClock(); }});
  return absl::OkStatus();
}

std::unique_ptr<pool::WorkerPool> EngineImpl::MakePool(const pool::PoolSpec& spec,
                                                       pool::PoolObserver* observer) {
  if (given_factory_) return given_factory_(spec, observer);
  pool::PoolEnvironment environment;
  environment.loop = loop_.get();
  environment.observer = observer;
  environment.orphans = orphans_.get();
  environment.oom_proof = &oom_proof_;
  environment.worker_program = core_.options.worker_program;
  return pool::WorkerPool::Create(spec, environment);
}

void EngineImpl::StartPools() {
  core_.ReadClock();
  for (const pool::PoolSpec& spec : core_.options.pools) {
    const absl::StatusOr<PoolInfo> pool = pool_manager_.Create(spec);
    if (!pool.ok()) {
      core_.Log(log::Level::kError,
                absl::StrCat("pool \"", spec.name, "\" was not made: ", pool.status().message()));
    }
  }
}

void EngineImpl::Start() {
  PREFORK_CHECK(!thread_.joinable());
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "prefork-engine");
    StartPools();
    loop_->Run();
  });
}

void EngineImpl::Stop() {
  if (thread_.joinable()) {
    loop_->Stop();
    thread_.join();
  }
  pools_.Clear();
}

void EngineImpl::Post(absl::AnyInvocable<void()> work) { loop_->Post(std::move(work)); }

absl::StatusOr<Bytes> EngineImpl::Pack(std::string bytes, uint32_t owner_uid) {
  absl::StatusOr<Bytes> packed =
      PackBytes(core_.options, *core_.segments, std::move(bytes), owner_uid);
  // Only the engine's thread can forget finished tasks to make room: Admission tries once more.
  // NOLINTNEXTLINE(bugprone-use-after-move): nothing is moved when it fails
  if (absl::IsResourceExhausted(packed.status())) return Bytes(std::move(bytes));
  return packed;
}

bool EngineImpl::RunPass() {
  core_.ReadClock();
  bool progress = workers_.DrainActive();
  if (progress) linger_.Answered();
  if (core_.scheduler.NextDeadlineNs() <= core_.now_ns) {
    core_.scheduler.AdvanceTo(core_.now_ns);
  }
  progress |= workers_.CarryOut();
  if (workers_.TakeDispatched()) linger_.Dispatched(core_.now_ns, core_.unfinished);
  workers_.ReportChanges();
  pool_manager_.EndUnused();
  lending_.Review();
  progress |= pool_manager_.Settle();
  ProceedDrain();
  const bool lingering = linger_.Looking(core_.now_ns);
  core_.sessions.Flush(/*hold_verdicts=*/lingering, &delivered_);
  life_.Delivered(delivered_);
  delivered_.clear();
  progress |= UpdateHolds();
  progress |= core_.sessions.PumpWatches();
  life_.EvictExpired();
  ArmTimer();
  return progress || lingering;
}

void EngineImpl::ArmTimer() {
  int64_t next_ns = core_.scheduler.NextDeadlineNs();
  if (const int64_t expiry_ns = core_.finished.NextExpiryNs();
      expiry_ns < INT64_MAX - kExpiryGrainNs) {
    next_ns = std::min(next_ns, (expiry_ns / kExpiryGrainNs + 1) * kExpiryGrainNs);
  }
  next_ns = std::min({next_ns, pool_manager_.NextUnusedNs(), lending_.next_ns()});
  if (drain_phase_ == DrainPhase::kFinishing || drain_phase_ == DrainPhase::kDelivering) {
    next_ns = std::min(next_ns, drain_deadline_ns_);
  }
  // A timer that is too early costs one wake-up, changing it costs on every pass. So when nothing
  // is left to wait for, one that comes soon may come.
  const bool keep =
      next_ns >= timer_ns_ && (next_ns != INT64_MAX || timer_ns_ - core_.now_ns <= kSoonNs);
  if (keep || next_ns == timer_ns_) return;
  if (timer_ns_ != INT64_MAX) loop_->CancelTimer(timer_);
  timer_ns_ = next_ns;
  if (next_ns == INT64_MAX) return;
  timer_ = loop_->AddTimer(next_ns, [this] {
    timer_ns_ = INT64_MAX;
    core_.ReadClock();
  });
}

// --- the end ---

void EngineImpl::Drain(absl::Duration timeout, std::function<void()> done) {
  if (drain_phase_ == DrainPhase::kDone) return done();
  drain_done_.push_back(std::move(done));
  const int64_t timeout_ns =
      std::clamp<int64_t>(absl::ToInt64Nanoseconds(timeout), 0, INT64_MAX / 2 - core_.now_ns);
  if (drain_phase_ == DrainPhase::kNone) {
    core_.draining = true;
    drain_phase_ = DrainPhase::kFinishing;
    drain_deadline_ns_ = core_.now_ns + timeout_ns;
  } else if (drain_phase_ == DrainPhase::kFinishing) {
    drain_deadline_ns_ = std::min(drain_deadline_ns_, core_.now_ns + timeout_ns);
  }
}

void EngineImpl::CancelAll() {
  std::vector<TaskSlot> slots;
  core_.tasks.Walk(0, false, [&slots](TaskSlot slot, const TaskRecord& task) {
    if (!scheduler::IsTerminal(task.state)) slots.push_back(slot);
    return true;
  });
  for (const TaskSlot slot : slots) {
    core_.scheduler.Cancel(slot, scheduler::EndCause::kShutdown, /*force=*/true, core_.now_ns);
  }
  workers_.CarryOut();
}

void EngineImpl::ProceedDrain() {
  const bool late = core_.now_ns >= drain_deadline_ns_;
  if (drain_phase_ == DrainPhase::kFinishing && core_.unfinished > 0 && late) {
    drain_phase_ = DrainPhase::kCancelling;
    CancelAll();
  }
  const bool finishing =
      drain_phase_ == DrainPhase::kFinishing || drain_phase_ == DrainPhase::kCancelling;
  if (finishing && core_.unfinished == 0) {
    drain_phase_ = DrainPhase::kEnding;
    const auto deliver = [this] {
      drain_phase_ = DrainPhase::kDelivering;
      drain_deadline_ns_ = core_.now_ns + kDeliveryLimitNs;
      loop_->Post([] {});  // one more pass
    };
    pool_manager_.ShutdownAll([this, deliver] {
      if (!orphans_) return deliver();
      orphans_->Clear(kOrphanLimit, [deliver](const std::vector<pid_t>&) { deliver(); });
    });
    loop_->Post([] {});
  }
  if (drain_phase_ != DrainPhase::kDelivering) return;
  if (!core_.sessions.AllDelivered() && core_.now_ns < drain_deadline_ns_) return;
  drain_phase_ = DrainPhase::kDone;
  core_.sessions.CloseSinks(
      MakeError(absl::StatusCode::kUnavailable, reason::kShutdown, "the daemon has shut down"));
  for (const std::function<void()>& done : std::exchange(drain_done_, {})) done();
}

}  // namespace prefork::engine
