// Who owns which child of the daemon:
//
//   preforkd (child subreaper)
//    +- zygote            owned by its ZygoteProcess, which waits on the pidfd and reaps it
//    |   +- worker        reaped by the zygote; owned by its WorkerProcess in case it is adopted:
//    +- worker            its zygote died; its WorkerProcess waits on the pidfd and reaps it
//    +- anything else     an orphan: a grandchild whose parent, a worker or an orphan, has died, or
//                         a worker that its zygote had not announced before it died
//
// Owners call Own as soon as they know a pid and Disown after it was reaped. Orphans are found by
// listing our children: when a worker has died (Clear) and when SIGCHLD says that some child has
// ended. Nobody waits for "any child", so no exit status is ever stolen from an owner; everything
// in the daemon that starts children has to own them here, on the loop's thread.
//
// A killed orphan is watched by its pidfd. Its own children come to us when it dies, so its end
// starts another sweep; a tree of any depth is gone when a sweep finds nothing.
//
// A zygote that has just died may have announced workers in messages nobody has read yet. So a
// sweep that sees an owned child dead but not reaped is put off until that owner has done its work.
#include "server/pool/orphan_reaper.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "common/os/errno_status.h"
#include "common/os/process_stats.h"
#include "common/os/process_tree.h"
#include "common/os/signal.h"

namespace prefork::pool {

absl::Status EnableSubreaper() {
  if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0) return absl::OkStatus();
  return os::ErrnoStatus(errno, "prctl(PR_SET_CHILD_SUBREAPER)");
}

absl::StatusOr<std::unique_ptr<OrphanReaper>> OrphanReaper::Create(os::EventLoop* loop) {
  if (absl::Status status = EnableSubreaper(); !status.ok()) return status;
  if (absl::Status status = os::BlockSignals({SIGCHLD}); !status.ok()) return status;
  absl::StatusOr<os::Fd> sigchld = os::CreateSignalfd({SIGCHLD});
  if (!sigchld.ok()) return sigchld.status();
  std::unique_ptr<OrphanReaper> reaper(new OrphanReaper(loop, *std::move(sigchld)));
  absl::Status watched = loop->Watch(reaper->sigchld_.get(), EPOLLIN,
                                     [raw = reaper.get()](uint32_t) { raw->OnSigchld(); });
  if (!watched.ok()) return watched;
  return reaper;
}

OrphanReaper::OrphanReaper(os::EventLoop* loop, os::Fd sigchld)
    : loop_(loop), sigchld_(std::move(sigchld)) {}

OrphanReaper::~OrphanReaper() {
  loop_->Unwatch(sigchld_.get());
  for (const auto& [pid, pidfd] : orphans_) loop_->Unwatch(pidfd.fd());
}

void OrphanReaper::Own(pid_t pid) { owned_.insert(pid); }

void OrphanReaper::Disown(pid_t pid) {
  owned_.erase(pid);
  if (!put_off_) return;
  loop_->Post([this, alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired()) Sweep();
  });
}

void OrphanReaper::Clear(absl::Duration limit, Done done) {
  const uint64_t id = next_waiter_++;
  auto deadline = std::make_unique<Deadline>(loop_);
  deadline->Set(limit, [this, id] {
    const Done overdue = std::move(waiters_.extract(id).mapped().done);
    std::vector<pid_t> survivors(unwatched_orphans_.begin(), unwatched_orphans_.end());
    for (const auto& [pid, pidfd] : orphans_) survivors.push_back(pid);
    overdue(survivors);
  });
  waiters_.emplace(id, Waiter{std::move(done), std::move(deadline)});
  Sweep();
}

void OrphanReaper::OnSigchld() {
  while (os::ReadSignalfd(sigchld_.get()).has_value()) {
  }
  Sweep();
}

bool OrphanReaper::AnOwnedChildIsUnreaped(const std::vector<pid_t>& children) const {
  for (const pid_t child : children) {
    if (!owned_.contains(child)) continue;
    const absl::StatusOr<os::ProcessStats> stats = os::ReadProcessStats(child);
    if (stats.ok() && stats->state == 'Z') return true;
  }
  return false;
}

void OrphanReaper::Sweep() {
  for (;;) {
    const std::vector<pid_t> children = os::ListChildren(getpid());
    put_off_ = AnOwnedChildIsUnreaped(children);
    if (put_off_) return;
    unwatched_orphans_.clear();
    bool reaped = false;
    for (const pid_t child : children) {
      if (owned_.contains(child) || orphans_.contains(child)) continue;
      Kill(child);
      reaped = reaped || !(orphans_.contains(child) || unwatched_orphans_.contains(child));
    }
    if (!reaped) break;  // else its children, if it had any, are ours now
  }
  if (orphans_.empty() && unwatched_orphans_.empty()) FinishWaiters();
}

// A child of ours keeps its pid until we reap it, so the number can't mean another process.
void OrphanReaper::Kill(pid_t orphan) {
  absl::StatusOr<os::Pidfd> pidfd = os::Pidfd::Open(orphan);
  if (pidfd.ok()) {
    // What can't be signalled belongs to another user (a set-user-ID program): it shows as
    // survivor.
    os::SignalTree(*pidfd, SIGKILL).IgnoreError();
  } else {
    kill(orphan, SIGKILL);
  }
  siginfo_t info = {};
  if (waitid(P_PID, static_cast<id_t>(orphan), &info, WEXITED | WNOHANG) != 0 || info.si_pid != 0) {
    return;
  }
  const bool watched = pidfd.ok() && loop_
                                         ->Watch(pidfd->fd(), EPOLLIN,
                                                 [this, orphan](uint32_t) {
                                                   const os::Pidfd ended =
                                                       std::move(orphans_.extract(orphan).mapped());
                                                   loop_->Unwatch(ended.fd());
                                                   ended.Reap(/*wait=*/false).IgnoreError();
                                                   Sweep();
                                                 })
                                         .ok();
  if (watched) {
    orphans_.emplace(orphan, *std::move(pidfd));
  } else {
    unwatched_orphans_.insert(orphan);
  }
}

void OrphanReaper::FinishWaiters() {
  absl::flat_hash_map<uint64_t, Waiter> finished;
  finished.swap(waiters_);
  for (auto& [id, waiter] : finished) {
    waiter.limit->Cancel();
    waiter.done({});
  }
}

}  // namespace prefork::pool
