#ifndef PREFORK_SERVER_POOL_ORPHAN_REAPER_H_
#define PREFORK_SERVER_POOL_ORPHAN_REAPER_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/os/event_loop.h"
#include "common/os/fd.h"
#include "common/os/pidfd.h"
#include "server/pool/deadline.h"

namespace prefork::pool {

// Makes this process the reaper of every descendant whose parent dies (PR_SET_CHILD_SUBREAPER).
absl::Status EnableSubreaper();

// Ends what dead workers leave behind. It makes the daemon a child subreaper; every child that then
// turns up without an owner is killed with its tree and reaped. One for the whole daemon, on the
// event loop's thread. The design note is in orphan_reaper.cc: who owns which child, and why nobody
// else may wait for "any child".
class OrphanReaper {
 public:
  // Fails when descriptors run out. SIGCHLD has to be blocked before the first thread starts
  // (os::BlockSignals in main); without that, orphans that end by themselves stay zombies until the
  // next sweep, all else works.
  static absl::StatusOr<std::unique_ptr<OrphanReaper>> Create(os::EventLoop* loop);
  ~OrphanReaper();

  // `pid` is a child, or will become one, that its owner reaps by itself; until Disown.
  void Own(pid_t pid);
  void Disown(pid_t pid);

  // Kills and reaps all children without owner; runs `done` when none is left, or after `limit`
  // with the survivors (processes in uninterruptible sleep). At once when there are none.
  using Done = std::function<void(const std::vector<pid_t>& survivors)>;
  void Clear(absl::Duration limit, Done done);

 private:
  struct Waiter {
    Done done;
    std::unique_ptr<Deadline> limit;
  };

  OrphanReaper(os::EventLoop* loop, os::Fd sigchld);
  void OnSigchld();
  // Looks at all children once: kills and reaps those without owner.
  void Sweep();
  bool AnOwnedChildIsUnreaped(const std::vector<pid_t>& children) const;
  void Kill(pid_t orphan);
  void FinishWaiters();

  os::EventLoop* const loop_;
  os::Fd sigchld_;
  absl::flat_hash_set<pid_t> owned_;
  absl::flat_hash_map<pid_t, os::Pidfd> orphans_;  // killed, not yet reaped
  absl::flat_hash_set<pid_t> unwatched_orphans_;   // the same, but descriptors had run out
  bool put_off_ = false;                           // a sweep waits for an owner to reap its child
  absl::flat_hash_map<uint64_t, Waiter> waiters_;
  uint64_t next_waiter_ = 1;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // for what was posted
};

}  // namespace prefork::pool

#endif  // PREFORK_SERVER_POOL_ORPHAN_REAPER_H_
