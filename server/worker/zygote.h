#ifndef PREFORK_SERVER_WORKER_ZYGOTE_H_
#define PREFORK_SERVER_WORKER_ZYGOTE_H_

#include <sys/resource.h>
#include <sys/types.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/os/fd.h"
#include "common/zygote/control_socket.h"
#include "common/zygote/message.h"
#include "server/worker/runtime.h"
#include "server/worker/step_observer.h"

namespace prefork::worker {

// The warm parent of a pool's workers: forks them, reaps them, tells the daemon. Single-threaded,
// so that fork is safe. The design note is in zygote.cc.
class Zygote {
 public:
  struct Options {
    std::string pool;                  // for titles; may be empty
    StepObserver* observer = nullptr;  // not owned
  };
  // `runtime` is not owned and loaded already. Fails when the process can't be prepared.
  static absl::StatusOr<Zygote> Create(zygote::ControlSocket daemon, Runtime* runtime,
                                       Options options);

  // Says READY, then serves the daemon until it says SHUTDOWN or goes. No worker and no child is
  // left when it returns; the result is the process's exit code. In a forked worker it never
  // returns.
  int Run();

 private:
  Zygote(zygote::ControlSocket daemon, os::Fd signals, Runtime* runtime, Options options);
  absl::Status SayReady();
  // Handles what has come; false: time to end.
  bool ServeDaemon();
  void ForkWorker(const zygote::ForkBody& body, std::vector<os::Fd> fds);
  [[noreturn]] void BecomeWorker(const zygote::ForkBody& body, std::vector<os::Fd> fds);
  void AnnounceWorker(zygote::WorkerName name, pid_t pid);
  void RefuseFork(zygote::WorkerName name, int error_number, const absl::Status& why);
  void ReapChildren();
  void ReportExit(zygote::WorkerName name, pid_t pid, int wait_status, const rusage& usage);
  bool IsWorkerOrOwn(pid_t pid) const;
  void EndWorkers();
  void WaitForChildren(int64_t patience_ns);
  // Sends, waiting while the daemon is slow to read. A daemon that is gone is noticed by Run.
  void Tell(const zygote::Message& message, absl::Span<const int> fds = {});
  void Reach(ZygoteStep step);

  zygote::ControlSocket daemon_;
  os::Fd signals_;
  Runtime* runtime_;
  Options options_;
  std::map<pid_t, zygote::WorkerName> workers_;
  std::set<pid_t> own_children_;  // started by modules while they were loaded
};

}  // namespace prefork::worker

#endif  // PREFORK_SERVER_WORKER_ZYGOTE_H_
