// Which zygotes a pool has:
//
//   candidate_ --READY--> current_ --a later READY--> old_ --its last worker gone--> ended
//        |                   |
//        | failed            | died: its workers are adopted by the daemon and drained
//        v                   v
//   a new candidate, when the pacer allows it
//
// A failed candidate beside a current one was a reload: the current one stays, and nothing is tried
// until somebody asks again. A candidate that is overtaken by another reload goes to old_ and is
// killed, as it may have loaded what was just replaced.
#include "server/pool/zygote_keeper.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace prefork::pool {

ZygoteKeeper::ZygoteKeeper(std::string pool_name, absl::StatusOr<ZygoteOptions> options,
                           os::EventLoop* loop, OrphanReaper* orphans, ZygoteKeeperHost* host)
    : pool_name_(std::move(pool_name)),
      options_(std::move(options)),
      loop_(loop),
      orphans_(orphans),
      host_(host),
      restart_(loop) {}

void ZygoteKeeper::Start() { StartNow(); }

void ZygoteKeeper::Reload() {
  if (stopped_) return;
  pacer_.Reset();
  restart_.Cancel();
  if (candidate_ != nullptr) {
    candidate_->Kill("overtaken by a reload");
    old_.push_back(std::move(candidate_));
  }
  StartNow();
}

void ZygoteKeeper::Release(ZygoteProcess& zygote) {
  if (&zygote == current_.get() || zygote.state() != ZygoteProcess::State::kReady) return;
  zygote.Stop(options_->start_timeout);
}

void ZygoteKeeper::NoteUseful() {
  current_was_useful_ = true;
  pacer_.Proven();
  if (failure_.empty() || candidate_ != nullptr) return;
  failure_.clear();
  host_->OnZygotesChanged();
}

void ZygoteKeeper::Stop() {
  stopped_ = true;
  restart_.Cancel();
  if (candidate_ != nullptr) candidate_->Kill("the pool is shut down");
  if (current_ != nullptr) current_->Stop(absl::InfiniteDuration());
  for (const auto& zygote : old_) zygote->Stop(absl::InfiniteDuration());
}

void ZygoteKeeper::Kill(const std::string& why) {
  stopped_ = true;
  restart_.Cancel();
  if (candidate_ != nullptr) candidate_->Kill(why);
  if (current_ != nullptr) current_->Kill(why);
  for (const auto& zygote : old_) zygote->Kill(why);
}

// --- starting -----------------------------------------------------------------------------------

void ZygoteKeeper::StartWhenAllowed() {
  const int64_t not_before_ns = pacer_.not_before_ns();
  if (stopped_ || restart_.armed()) return;
  if (not_before_ns <= loop_->clock()->MonotonicNs()) return StartNow();
  restart_.SetAt(not_before_ns, [this] { StartNow(); });
}

void ZygoteKeeper::StartNow() {
  if (stopped_) return;
  if (!options_.ok()) {  // no retry would change it
    ++failed_starts_;
    failure_ = std::string(options_.status().message());
    return host_->OnZygotesChanged();
  }
  absl::StatusOr<std::unique_ptr<ZygoteProcess>> zygote =
      ZygoteProcess::Start(*options_, loop_, orphans_, this);
  if (zygote.ok()) {
    candidate_ = *std::move(zygote);
    return;
  }
  StartFailed(std::string(zygote.status().message()));
  host_->OnZygotesChanged();
}

void ZygoteKeeper::StartFailed(const std::string& why) {
  if (stopped_) return;
  ++failed_starts_;
  if (current_ != nullptr) {
    failure_ = absl::StrCat(Explain("reload failed: the new zygote could not be started", why),
                            " The pool goes on with its old zygote until the next reload.");
  } else {
    failure_ = absl::StrCat(Explain("the zygote could not be started", why),
                            " The pool tries again by itself; a reload tries at once.");
    pacer_.StartFailed(loop_->clock()->MonotonicNs());
    StartWhenAllowed();
  }
}

std::string ZygoteKeeper::Explain(const std::string& what, const std::string& why) const {
  return absl::StrCat("pool '", pool_name_, "': ", what, ": ", options_->argv.front(), ": ", why,
                      ".");
}

// --- what the zygotes say -----------------------------------------------------------------------

void ZygoteKeeper::OnZygoteReady(ZygoteProcess& zygote, const std::string& functions) {
  if (&zygote != candidate_.get()) return;
  if (current_ != nullptr) old_.push_back(std::move(current_));
  current_ = std::move(candidate_);
  current_was_useful_ = false;
  pacer_.Started();
  if (!pacer_.on_probation()) failure_.clear();
  host_->OnZygoteReady(zygote, functions);
  host_->OnZygotesChanged();
}

void ZygoteKeeper::OnZygoteGone(ZygoteProcess& zygote, const std::string& why) {
  const bool was_candidate = &zygote == candidate_.get();
  const bool was_current = &zygote == current_.get();
  std::unique_ptr<ZygoteProcess> gone = Take(zygote);
  host_->OnZygoteGone(zygote, why);
  if (was_candidate) {
    StartFailed(why);
  } else if (was_current && !stopped_) {
    const int64_t now_ns = loop_->clock()->MonotonicNs();
    if (pacer_.DiedAfterReady(zygote.ready_ns(), now_ns, current_was_useful_)) {
      failure_ = absl::StrCat(Explain("zygotes keep dying before a worker is ready", why),
                              " The pool tries again by itself; a reload tries at once.");
    }
    if (candidate_ == nullptr) StartWhenAllowed();
  }
  host_->OnZygotesChanged();
  // Its own callback is still on the stack.
  loop_->Post([gone = std::move(gone)] {});
}

std::unique_ptr<ZygoteProcess> ZygoteKeeper::Take(ZygoteProcess& zygote) {
  if (&zygote == candidate_.get()) return std::move(candidate_);
  if (&zygote == current_.get()) return std::move(current_);
  const auto place =
      std::find_if(old_.begin(), old_.end(), [&](const auto& old) { return old.get() == &zygote; });
  std::unique_ptr<ZygoteProcess> taken = std::move(*place);
  old_.erase(place);
  return taken;
}

void ZygoteKeeper::OnForked(ZygoteProcess& zygote, zygote::WorkerName worker, pid_t pid,
                            os::Pidfd pidfd) {
  host_->OnForked(zygote, worker, pid, std::move(pidfd));
}

void ZygoteKeeper::OnForkFailed(ZygoteProcess& zygote, zygote::WorkerName worker,
                                const absl::Status& why) {
  host_->OnForkFailed(zygote, worker, why);
}

void ZygoteKeeper::OnWorkerReaped(ZygoteProcess& zygote, const zygote::ExitedBody& exited) {
  host_->OnWorkerReaped(zygote, exited);
}

void ZygoteKeeper::OnZygoteOutput(ZygoteProcess& zygote, const std::string& line) {
  host_->OnZygoteOutput(zygote, line);
}

}  // namespace prefork::pool
