// preforkd: the daemon. Reads flags and configuration, prepares the process while it has one thread, and
// hands over to Daemon.
//
// Exit codes: 0 a clean end, 1 a failure (also a socket that is in use), 2 wrong flags or configuration.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "common/log/logger.h"
#include "common/os/signal.h"
#include "grpc/grpc.h"
#include "grpc/support/log.h"
#include "server/config/loader.h"
#include "server/config/verbs.h"
#include "server/main/daemon.h"
#include "server/main/daemon_options.h"
#include "server/main/flags.h"
#include "server/rpc/socket_activation.h"

namespace prefork::main {
namespace {

constexpr int kFailure = 1;
constexpr int kUsageError = 2;
// A descriptor costs the kernel memory for the whole table up to it.
constexpr rlim_t kWantedDescriptors = 1 << 19;

log::Logger& Log() {
  static auto* const logger =
      new log::Logger(STDERR_FILENO, log::Logger::FormatFor(STDERR_FILENO), log::Level::kInfo);
  return *logger;
}

int Fail(const absl::Status& status, int code) {
  for (const absl::string_view line : absl::StrSplit(status.message(), '\n', absl::SkipEmpty())) {
    Log().Error({line.data(), line.size()});
  }
  return code;
}

// Each worker, session and segment takes some.
void RaiseDescriptorLimit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = std::max(limit.rlim_cur, std::min(limit.rlim_max, kWantedDescriptors));
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
    Log().Warning("the limit on open files can't be raised; see LimitNOFILE= or ulimit -n");
  }
}

// gRPC's own words, in our format. Its errors are mostly about peers.
void LogForGrpc(gpr_log_func_args* args) {
  const log::Level level =
      args->severity == GPR_LOG_SEVERITY_ERROR ? log::Level::kInfo : log::Level::kDebug;
  Log().Write(level, absl::StrCat("grpc: ", args->message));
}

// What a shell or a service manager left open (a pipe, a terminal) is not for tasks to hold.
void KeepDescriptorsFromTasks() {
  constexpr unsigned int kFirst = STDERR_FILENO + 1;
  if (close_range(kFirst, UINT_MAX, CLOSE_RANGE_CLOEXEC) == 0) return;
  Log().Warning(absl::StrCat("close_range: ", std::strerror(errno),
                             "; tasks inherit what the daemon was started with"));
}

std::string OwnProgram() {
  char path[PATH_MAX];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof(path));
  return size > 0 ? std::string(path, size) : std::string();
}

int Main(int argc, char** argv) {
  std::variant<Flags, int> parsed = ParseFlags(argc, argv, std::cout, std::cerr);
  if (const int* code = std::get_if<int>(&parsed)) return *code;
  const Flags& flags = std::get<Flags>(parsed);

  config::LoadOptions load = config::CurrentSurroundings();
  load.file = flags.config_file;
  load.overrides = flags.overrides;
  if (flags.verb.has_value()) {
    return config::RunConfigVerb(*flags.verb, load, std::cout, std::cerr) == 0 ? 0 : kUsageError;
  }
  absl::StatusOr<config::LoadedConfig> loaded = config::LoadConfig(load);
  if (!loaded.ok()) return Fail(loaded.status(), kUsageError);
  Log().set_least(ToLogLevel(loaded->config.daemon.log_level));
  absl::StatusOr<std::string> worker_program =
      FindWorkerProgram(loaded->config.daemon.worker_program, OwnProgram());
  if (!worker_program.ok()) return Fail(worker_program.status(), kUsageError);
  absl::StatusOr<std::vector<os::Fd>> sockets = rpc::TakeActivatedSockets();
  if (!sockets.ok()) return Fail(sockets.status(), kUsageError);

  KeepDescriptorsFromTasks();
  RaiseDescriptorLimit();
  os::IgnoreSignals({SIGPIPE, SIGXFSZ});
  // SIGCHLD is for whoever reaps orphans.
  const absl::Status blocked = os::BlockSignals({SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGCHLD});
  if (!blocked.ok()) return Fail(blocked, kFailure);
#ifdef NDEBUG
  // Debian builds Abseil with its assertions: each lock would be looked up in a graph of all locks, below one
  // lock that all threads share. Debug builds keep that.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
#endif
  gpr_set_log_function(LogForGrpc);
  // A reference that is never given back: a full grpc_shutdown would wait for gRPC's backup poller, which
  // may sleep for ten seconds after a large write.
  grpc_init();

  Daemon::Options options;
  options.loaded = *std::move(loaded);
  options.reload = std::move(load);
  options.worker_program = *std::move(worker_program);
  options.activated_sockets = *std::move(sockets);
  options.notify = SystemdNotify::FromEnvironment();
  options.log = &Log();
  absl::StatusOr<std::unique_ptr<Daemon>> daemon = Daemon::Start(std::move(options));
  if (!daemon.ok()) return Fail(daemon.status(), kFailure);
  (*daemon)->Run();
  daemon->reset();
  Log().Notice("stopped");
  return 0;
}

}  // namespace
}  // namespace prefork::main

int main(int argc, char** argv) { return prefork::main::Main(argc, argv); }
