#ifndef PREFORK_SERVER_POOL_ZYGOTE_PROCESS_H_
#define PREFORK_SERVER_POOL_ZYGOTE_PROCESS_H_

#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/os/event_loop.h"
#include "common/os/pidfd.h"
#include "common/zygote/control_socket.h"
#include "server/pool/deadline.h"
#include "server/pool/orphan_reaper.h"
#include "server/pool/output_pipe.h"
#include "server/pool/text_tail.h"

namespace prefork::pool {

class ZygoteProcess;

// What a zygote tells its keeper.
class ZygoteObserver {
 public:
  virtual ~ZygoteObserver() = default;
  // The names are functions it offers, one a line: name, TAB, description.
  virtual void OnZygoteReady(ZygoteProcess& zygote, const std::string& functions) = 0;
  // `pidfd` is invalid when the worker has ended and was reaped already.
  virtual void OnForked(ZygoteProcess& zygote, zygote::WorkerName worker, pid_t pid,
                        os::Pidfd pidfd) = 0;
  virtual void OnForkFailed(ZygoteProcess& zygote, zygote::WorkerName worker,
                            const absl::Status& why) = 0;
  virtual void OnWorkerReaped(ZygoteProcess& zygote, const zygote::ExitedBody& exited) = 0;
  // It is dead and reaped, and everything it had said was delivered before. `why` is one sentence
  // for people. The last call; it is destroyed later, not inside.
  virtual void OnZygoteGone(ZygoteProcess& zygote, const std::string& why) = 0;
  // A line it wrote to stdout or stderr.
  virtual void OnZygoteOutput(ZygoteProcess& zygote, const std::string& line) = 0;
};

struct ZygoteOptions {
  std::vector<std::string> argv;
  std::vector<std::string> env;
  std::string cwd;
  absl::Duration start_timeout;  // until READY, and until each FORK is answered
};

// One zygote: a child of the daemon that forks workers on demand. Trusts nothing it says; a zygote
// that breaks the protocol or stops answering is killed. The design note is in zygote_process.cc.
class ZygoteProcess {
 public:
  enum class State { kStarting, kReady, kEnding, kGone };

  // Starts the program; never by fork, so a process with threads may call it. Fails with the reason
  // of posix_spawn, socketpair or pipe. Nothing is owned.
  static absl::StatusOr<std::unique_ptr<ZygoteProcess>> Start(const ZygoteOptions& options,
                                                              os::EventLoop* loop,
                                                              OrphanReaper* orphans,
                                                              ZygoteObserver* observer);
  // Kills it, if it still lives, without waiting.
  ~ZygoteProcess();

  // Asks for a worker; `fds` as zygote::ForkDescriptor says, lent. OnForked or OnForkFailed
  // follows, or OnZygoteGone. UNAVAILABLE, ABORTED: it could not be asked.
  absl::Status Fork(zygote::WorkerName worker, bool dedicated, absl::Span<const int> fds);
  // Asks it to end; killed when it has not ended after `patience`.
  void Stop(absl::Duration patience);
  // SIGKILL to the zygote alone: its workers live on as children of the daemon.
  void Kill(const std::string& why);

  State state() const { return state_; }
  pid_t pid() const { return pidfd_.pid(); }
  bool was_ready() const { return was_ready_; }
  int64_t ready_ns() const { return ready_ns_; }
  bool asked_to_end() const { return asked_to_end_; }
  size_t forks_outstanding() const { return asked_.size(); }

 private:
  using Name = std::pair<uint32_t, uint32_t>;  // index, generation

  ZygoteProcess(const ZygoteOptions& options, os::EventLoop* loop, OrphanReaper* orphans,
                ZygoteObserver* observer)
      : options_(options), loop_(loop), orphans_(orphans), observer_(observer), deadline_(loop) {}

  absl::Status Spawn();
  void OnControlReadable();
  bool ReceiveOne();
  absl::Status OnMessage(zygote::ControlSocket::Received received);
  absl::Status OnReady(const zygote::Ready& ready);
  absl::Status OnForkedMessage(const zygote::ForkedBody& body, os::Fd pidfd);
  absl::Status OnForkFailedMessage(const zygote::ForkFailed& failed);
  absl::Status OnExitedMessage(const zygote::ExitedBody& body);
  bool TakeAsked(zygote::WorkerName worker);
  void OnControlEnd();
  size_t ReadOutput();
  void OnProcessEnded();
  void ExpectAnswer();
  void KillAfter(absl::Duration patience, const std::string& why);

  const ZygoteOptions options_;
  os::EventLoop* const loop_;
  OrphanReaper* const orphans_;
  ZygoteObserver* const observer_;
  State state_ = State::kStarting;
  bool was_ready_ = false;
  bool asked_to_end_ = false;
  int64_t ready_ns_ = 0;
  os::Pidfd pidfd_;
  zygote::ControlSocket control_;
  OutputPipe output_;
  std::string line_;  // of output, not yet ended
  TextTail tail_;
  std::string why_ended_;  // what we did to it or it said itself; empty: it just ended
  absl::btree_set<Name> asked_;
  absl::btree_map<Name, pid_t> workers_;  // forked and not reaped
  Deadline deadline_;                     // the one bound on what it owes us
};

}  // namespace prefork::pool

#endif  // PREFORK_SERVER_POOL_ZYGOTE_PROCESS_H_
