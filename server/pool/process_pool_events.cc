// What a pool does when its zygotes and workers tell something; the design note is in
// process_pool.cc.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/pool/exit_verdict.h"
#include "server/pool/process_pool.h"

namespace prefork::pool {
namespace {

std::string Describe(const Worker& worker) {
  return absl::StrCat("worker ", worker.index(), " generation ", worker.generation(), " (pid ",
                      worker.pid(), ")");
}

}  // namespace

// --- zygotes ------------------------------------------------------------------------------------

void ProcessPool::OnZygoteReady(ZygoteProcess& zygote, const std::string& functions) {
  functions_ = absl::StrSplit(functions, '\n', absl::SkipEmpty());
  for (const auto& slot : slots_) {
    slot->pacer().Reset();  // what failed before failed with another zygote
    if (slot->serving() != nullptr && slot->serving()->zygote != &zygote) slot->Renew();
  }
  Log(log::Level::kInfo, absl::StrCat("zygote ready, pid ", zygote.pid()));
  Reconcile();
}

void ProcessPool::OnForked(ZygoteProcess&, zygote::WorkerName name, pid_t pid, os::Pidfd pidfd) {
  PooledWorker* worker = Find(name);
  if (worker != nullptr) worker->process->OnForked(pid, std::move(pidfd));
  Reconcile();
}

void ProcessPool::OnForkFailed(ZygoteProcess& zygote, zygote::WorkerName name,
                               const absl::Status& why) {
  PooledWorker* worker = Find(name);
  if (worker == nullptr) return;
  if (worker->slot == nullptr) {
    FailDedicated(worker->process->dedicated_cookie(), why);
  } else if (&zygote == zygotes_.current()) {  // one that was replaced proves nothing any more
    worker->slot->pacer().StartFailed(environment_.loop->clock()->MonotonicNs());
    worker->failure = DeathTally::Kind::kStart;
  }
  CountFailure(*worker, std::string(why.message()));
  ForgetForking(*worker);
  Reconcile();
}

void ProcessPool::OnWorkerReaped(ZygoteProcess& zygote, const zygote::ExitedBody& exited) {
  PooledWorker* worker = Find(exited.worker);
  if (worker == nullptr || worker->process->OnReaped(exited)) return;
  zygote.Kill(absl::StrCat("broke the zygote protocol: EXITED of ", Describe(*worker->process),
                           ", which lives"));
}

void ProcessPool::OnZygoteGone(ZygoteProcess& zygote, const std::string& why) {
  Log(zygote.asked_to_end() ? log::Level::kInfo : log::Level::kWarning,
      absl::StrCat("zygote ", zygote.pid(), " is gone: ", why));
  std::vector<PooledWorker*> its_workers;
  for (const auto& [name, worker] : pooled_) {
    if (worker->zygote == &zygote) its_workers.push_back(worker.get());
  }
  for (PooledWorker* worker : its_workers) {
    worker->zygote = nullptr;
    if (worker->process->state() == WorkerState::kForking) {
      if (worker->slot == nullptr) {
        FailDedicated(worker->process->dedicated_cookie(),
                      absl::UnavailableError(absl::StrCat("its zygote died: ", why)));
      }
      ForgetForking(*worker);
    } else {
      Adopt(*worker);
    }
  }
  // Workers that it had forked but not announced are children of the daemon now, without owner.
  environment_.orphans->Clear(kClearPatience, [](const std::vector<pid_t>&) {});
}

void ProcessPool::Adopt(PooledWorker& worker) {
  if (worker.slot != nullptr && worker.process->state() != WorkerState::kDead) {
    worker.slot->Detach(&worker);
    WantRetirement(worker, ExitReason::kRecycled, "its zygote died before it was ready");
  }
  worker.process->OnZygoteGone();
}

void ProcessPool::OnZygoteOutput(ZygoteProcess& zygote, const std::string& line) {
  Log(log::Level::kInfo, absl::StrCat("zygote ", zygote.pid(), ": ", line));
}

void ProcessPool::OnZygotesChanged() {
  if (zygotes_.failing()) {
    Log(log::Level::kWarning, zygotes_.failure());
    FailWaitingDedicated();
  }
  environment_.observer->OnPoolChanged();
  Reconcile();
}

// --- workers ------------------------------------------------------------------------------------

void ProcessPool::OnStarting(WorkerProcess& process) {
  workers_.push_back(&process);
  environment_.observer->OnWorkerStarting(process);
}

void ProcessPool::OnReady(WorkerProcess& process) {
  PooledWorker& worker = *Find(process);
  if (worker.zygote != nullptr && worker.zygote == zygotes_.current()) zygotes_.NoteUseful();
  PooledWorker* replaced = nullptr;
  if (worker.slot != nullptr) {
    worker.slot->pacer().Started();
    replaced = worker.slot->Ready(&worker);
    WatchAge(worker);
    WatchProbation(worker);
    if (tally_.Ready()) environment_.observer->OnPoolChanged();
  }
  environment_.observer->OnWorkerReady(process);
  if (replaced != nullptr) {
    WantRetirement(*replaced, ExitReason::kRecycled, "replaced before it was ready");
  }
  Reconcile();
}

void ProcessPool::OnLaneReadable(WorkerProcess& process) {
  environment_.observer->OnLaneReadable(process);
}

void ProcessPool::OnOutput(WorkerProcess& process, int stream, uint64_t task_id,
                           std::string_view bytes) {
  environment_.observer->OnOutput(process, stream, task_id, bytes);
}

void ProcessPool::OnSegmentRequest(WorkerProcess& process, uint64_t size_bytes) {
  environment_.observer->OnSegmentRequest(process, size_bytes);
}

void ProcessPool::OnDied(WorkerProcess& process) {
  // First what it had finished: that decides whether it died young, and its tasks end sooner.
  environment_.observer->OnLaneReadable(process);
  PooledWorker& worker = *Find(process);
  CancelTimers(worker);
  if (worker.slot == nullptr) return;
  const bool failed = process.asked() == ExitReason::kNone || IsUnexpected(process.asked());
  if (failed) {
    const int64_t now_ns = environment_.loop->clock()->MonotonicNs();
    RestartPacer& pacer = worker.slot->pacer();
    if (process.ready_ns() == 0) {
      pacer.StartFailed(now_ns);
      worker.failure = DeathTally::Kind::kStart;
    } else if (pacer.DiedAfterReady(process.ready_ns(), now_ns, worker.meter.tasks_done() > 0)) {
      worker.failure = DeathTally::Kind::kYoungDeath;
    }
  }
  worker.slot->Detach(&worker);
  Reconcile();
}

void ProcessPool::OnStatusOverdue(WorkerProcess& process) {
  PooledWorker& worker = *Find(process);
  if (worker.zygote == nullptr) return;
  worker.zygote->Kill(absl::StrCat("does not say how ", Describe(process), " ended"));
}

void ProcessPool::OnExited(WorkerProcess& process, const WorkerExit& exit) {
  PooledWorker& worker = *Find(process);
  workers_.erase(std::remove(workers_.begin(), workers_.end(), &process), workers_.end());
  if (IsUnexpected(exit.reason)) {
    ++unexpected_exits_;
    Log(log::Level::kWarning, absl::StrCat(Describe(process), " ", exit.detail));
  }
  environment_.observer->OnWorkerExited(process, exit);
  const std::string last_words = process.stderr_tail();
  std::string why =
      absl::StrCat(exit.detail, last_words.empty() ? "" : "; its last words: ", last_words);
  if (process.dedicated() && process.ready_ns() == 0) {
    FailDedicated(process.dedicated_cookie(), absl::UnavailableError(why));
  }
  CountFailure(worker, std::move(why));
  Bury(worker);
  Reconcile();
}

void ProcessPool::WantRetirement(PooledWorker& worker, ExitReason reason, std::string_view detail) {
  if (worker.wants_retirement) return;
  worker.wants_retirement = true;
  worker.retire_reason = reason;
  CancelTimers(worker);
  if (worker.process->ready()) {
    environment_.observer->OnRetirementWanted(*worker.process);
  } else if (worker.process->state() != WorkerState::kRetiring) {
    worker.process->Kill(reason, detail);
  }
}

void ProcessPool::WatchAge(PooledWorker& worker) {
  worker.age.Set(spec_.max_worker_age, [this, &worker] {
    if (worker.slot->serving() == &worker) worker.slot->Renew();
    Reconcile();
  });
}

void ProcessPool::WatchProbation(PooledWorker& worker) {
  const RestartPacer& pacer = worker.slot->pacer();
  if (!pacer.on_probation() && !tally_.degraded()) return;
  worker.probation.Set(pacer.young(), [this, &worker] { Proven(worker); });
}

void ProcessPool::CancelTimers(PooledWorker& worker) {
  worker.age.Cancel();
  worker.probation.Cancel();
}

void ProcessPool::Proven(PooledWorker& worker) {
  worker.slot->pacer().Proven();
  if (!tally_.Proven()) return;
  environment_.observer->OnPoolChanged();
  for (const auto& slot : slots_) slot->pacer().Reset();
  Reconcile();
}

void ProcessPool::CountFailure(PooledWorker& worker, std::string why) {
  if (!worker.failure) return;
  if (!tally_.Failed(*worker.failure, std::move(why))) return;
  Log(log::Level::kWarning, degraded_reason());
  environment_.observer->OnPoolChanged();
}

void ProcessPool::ForgetForking(PooledWorker& worker) {
  worker.process->OnForkFailed();
  if (worker.slot != nullptr) worker.slot->Detach(&worker);
  Bury(worker);
}

void ProcessPool::Bury(PooledWorker& worker) {
  if (worker.slot == nullptr) --dedicated_running_;
  const auto place = pooled_.find({worker.process->index(), worker.process->generation()});
  buried_.push_back(std::move(place->second));
  pooled_.erase(place);
  Later([this] { buried_.clear(); });
}

}  // namespace prefork::pool
