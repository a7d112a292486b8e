#ifndef PREFORK_SERVER_POOL_ZYGOTE_KEEPER_H_
#define PREFORK_SERVER_POOL_ZYGOTE_KEEPER_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/os/event_loop.h"
#include "server/pool/deadline.h"
#include "server/pool/orphan_reaper.h"
#include "server/pool/restart_pacer.h"
#include "server/pool/zygote_process.h"

namespace prefork::pool {

// What the keeper tells the pool: all that its zygotes say, after its own books are right.
class ZygoteKeeperHost : public ZygoteObserver {
 public:
  // failing(), failure() or current() has changed.
  virtual void OnZygotesChanged() = 0;
};

// Keeps one zygote of a pool running: starts it, paces its restarts, puts a new one beside it for a
// reload and keeps the old one until its last worker is gone.
class ZygoteKeeper : private ZygoteObserver {
 public:
  // `options` may be an error: then it can never start, and failure() says so.
  ZygoteKeeper(std::string pool_name, absl::StatusOr<ZygoteOptions> options, os::EventLoop* loop,
               OrphanReaper* orphans, ZygoteKeeperHost* host);
  ~ZygoteKeeper() override = default;

  void Start();
  // Starts another one, at once; when it is ready it becomes current().
  void Reload();
  // The one that forks; null while there is none that is ready.
  ZygoteProcess* current() const { return current_.get(); }
  // Those that were replaced and have not ended.
  const std::vector<std::unique_ptr<ZygoteProcess>>& old() const { return old_; }
  // No worker of `zygote` is left: it ends, unless it is the current one.
  void Release(ZygoteProcess& zygote);
  // A worker of the current zygote became ready.
  void NoteUseful();

  // Starts no more; asks all to end.
  void Stop();
  // SIGKILL to all; starts no more.
  void Kill(const std::string& why);
  bool empty() const { return candidate_ == nullptr && current_ == nullptr && old_.empty(); }

  // There is no zygote because it can't be started.
  bool failing() const { return current_ == nullptr && !failure_.empty(); }
  // How many starts have failed, reloads among them.
  uint64_t failed_starts() const { return failed_starts_; }
  // Why the last start failed, and the cure; empty after a success.
  const std::string& failure() const { return failure_; }

 private:
  void OnZygoteReady(ZygoteProcess& zygote, const std::string& functions) override;
  void OnForked(ZygoteProcess& zygote, zygote::WorkerName worker, pid_t pid,
                os::Pidfd pidfd) override;
  void OnForkFailed(ZygoteProcess& zygote, zygote::WorkerName worker,
                    const absl::Status& why) override;
  void OnWorkerReaped(ZygoteProcess& zygote, const zygote::ExitedBody& exited) override;
  void OnZygoteGone(ZygoteProcess& zygote, const std::string& why) override;
  void OnZygoteOutput(ZygoteProcess& zygote, const std::string& line) override;

  void StartWhenAllowed();
  void StartNow();
  void StartFailed(const std::string& why);
  std::unique_ptr<ZygoteProcess> Take(ZygoteProcess& zygote);
  std::string Explain(const std::string& what, const std::string& why) const;

  const std::string pool_name_;
  const absl::StatusOr<ZygoteOptions> options_;
  os::EventLoop* const loop_;
  OrphanReaper* const orphans_;
  ZygoteKeeperHost* const host_;
  RestartPacer pacer_;
  std::unique_ptr<ZygoteProcess> candidate_;  // starting
  std::unique_ptr<ZygoteProcess> current_;
  std::vector<std::unique_ptr<ZygoteProcess>> old_;  // replaced, or on their way out
  bool current_was_useful_ = false;
  bool stopped_ = false;
  std::string failure_;
  uint64_t failed_starts_ = 0;
  Deadline restart_;
};

}  // namespace prefork::pool

#endif  // PREFORK_SERVER_POOL_ZYGOTE_KEEPER_H_
