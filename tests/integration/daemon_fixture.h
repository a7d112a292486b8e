#ifndef PREFORK_TESTS_INTEGRATION_DAEMON_FIXTURE_H_
#define PREFORK_TESTS_INTEGRATION_DAEMON_FIXTURE_H_

#include <sys/types.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/os/fd.h"
#include "common/os/pidfd.h"

namespace prefork::testing {

struct DaemonOptions {
  // TOML. The socket and the worker program are added; a pool that wants the example functions
  // names ExamplesModule().
  std::string config{};
  std::vector<std::string> flags{};          // added to the command line
  std::map<std::string, std::string> env{};  // added to the environment
  // Listening sockets to start it with, as a service manager does. Not owned.
  std::vector<int> activated_sockets{};
  absl::Duration ready_timeout = absl::Seconds(30);
  // Do not wait for READY: for daemons that are expected to fail or to stay unready.
  bool wait_until_ready = true;
};

// The programs of this build.
std::string DaemonProgram();   // preforkd
std::string WorkerProgram();   // prefork-worker
std::string CliProgram();      // prefork
std::string ExamplesModule();  // prefork_examples.so

// [pool.NAME] of the native runtime with the example functions.
std::string NativePoolConfig(const std::string& name, int size, const std::string& more = "");

// A real preforkd in a directory of its own, with its socket there. The destructor stops it and
// fails the test when it leaves a process, a socket or a /dev/shm entry behind.
class Daemon {
 public:
  // Starts it and waits until it says that it accepts work (READY=1 of sd_notify(3)). Errors carry
  // what it has written to stderr.
  static absl::StatusOr<std::unique_ptr<Daemon>> Start(const DaemonOptions& options);
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  const std::string& directory() const { return directory_; }
  const std::string& socket() const { return socket_; }
  std::string address() const { return "unix:" + socket_; }  // for clients
  pid_t pid() const { return process_.pid(); }
  // All that it has written to stderr so far.
  std::string Log() const;
  // What it has sent to the service manager: READY=1, STOPPING=1, STATUS=..., in order.
  std::vector<std::string> Notifications() const;
  bool WaitForNotification(const std::string& text, absl::Duration timeout = absl::Seconds(20));

  // SIGTERM, and waits for the end; DEADLINE_EXCEEDED with the log when it takes longer. The value
  // is the wait status.
  absl::StatusOr<int> Stop(absl::Duration timeout = absl::Seconds(40));
  // SIGKILL, and reaps it. What it leaves behind then is the caller's to look at.
  absl::StatusOr<int> Kill();
  // Waits for an end that something else has caused.
  absl::StatusOr<int> WaitForExit(absl::Duration timeout = absl::Seconds(40));
  bool running() const { return process_.valid() && !exited_; }

  // Live processes that came from this daemon, itself left out: zygotes, workers, commands and all
  // they have started, wherever they hang in the process tree.
  std::vector<pid_t> Descendants() const;
  // What is left of it: processes, its socket, new /dev/shm entries; in words. After its end, waits
  // up to `timeout` for them to go.
  std::vector<std::string> Leftovers(absl::Duration timeout = absl::Seconds(10)) const;

 private:
  Daemon() = default;
  absl::Status Launch(const DaemonOptions& options);
  absl::Status WaitUntilReady(absl::Duration timeout);
  void Listen();
  absl::Status Failure(absl::string_view what) const;

  std::string directory_;
  std::string socket_;
  std::string marker_;  // in the environment of all processes below the daemon
  std::set<std::string> shm_before_;
  os::Pidfd process_;
  bool exited_ = false;
  bool killed_ = false;  // so its socket file may stay
  int wait_status_ = 0;

  os::Fd notify_socket_;
  os::Fd stop_event_;
  std::thread listener_;  // reads the notify socket; a full one would stop the daemon
  mutable absl::Mutex mu_;
  std::vector<std::string> notifications_ ABSL_GUARDED_BY(mu_);
};

}  // namespace prefork::testing

#endif  // PREFORK_TESTS_INTEGRATION_DAEMON_FIXTURE_H_
