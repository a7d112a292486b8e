// A private daemon, started by the first client that needs one.
//
// Clients may come at the same moment, so the one that holds the lock on SOCKET.lock starts the
// daemon; the others see the lock taken and only wait. Everybody's wait is the same: connect until
// it works. The starter waits on the daemon's pidfd between two attempts, so a daemon that dies at
// once is reported at once, with the end of its log. The lock dies with its holder, and a client
// that gets it looks for a listener first. The daemon itself refuses a socket on which another
// listens.
//
// The daemon gets a session of its own, /dev/null and the log file as its descriptors, and / as its
// directory: nothing of the client's terminal stays open through it.
#include "client/cpp/autostart.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "client/cpp/address.h"
#include "common/os/errno_status.h"
#include "common/os/fd.h"
#include "common/os/pidfd.h"
#include "common/os/spawn.h"
#include "common/os/wait_status.h"

namespace prefork::client {
namespace {

namespace fs = std::filesystem;

constexpr char kDaemonName[] = "preforkd";
constexpr char kIdleTimeout[] = "10m";
constexpr int kProbePauseMillis = 5;
constexpr std::streamoff kLogTailBytes = 2000;

bool IsExecutable(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error) && access(path.c_str(), X_OK) == 0;
}

// A directory that only we can write to: a name below /tmp could be somebody else's.
absl::Status MakePrivateDirectory(const fs::path& directory) {
  std::error_code error;
  fs::create_directories(directory.parent_path(), error);
  if (mkdir(directory.c_str(), 0700) == 0) return absl::OkStatus();
  if (errno != EEXIST) return os::ErrnoStatus(errno, absl::StrCat("mkdir ", directory.string()));
  struct stat info = {};
  if (lstat(directory.c_str(), &info) != 0) {
    return os::ErrnoStatus(errno, absl::StrCat("lstat ", directory.string()));
  }
  if (!S_ISDIR(info.st_mode) || info.st_uid != geteuid()) {
    return absl::PermissionDeniedError(absl::StrCat(
        directory.string(), " is not a directory of this user; remove it, or set XDG_RUNTIME_DIR"));
  }
  return absl::OkStatus();
}

absl::StatusOr<os::Fd> OpenFile(const fs::path& path, int flags) {
  os::Fd file(open(path.c_str(), flags | O_CLOEXEC, 0600));
  if (!file.valid()) return os::ErrnoStatus(errno, absl::StrCat("open ", path.string()));
  return file;
}

std::string LogTail(const fs::path& path, std::streamoff from) {
  std::ifstream log(path, std::ios::ate);
  const std::streamoff size = log.tellg();
  log.seekg(std::max(from, size - kLogTailBytes));
  std::ostringstream tail;
  tail << log.rdbuf();
  return tail.str();
}

class Starter {
 public:
  Starter(std::string socket_path, std::string daemon_directory)
      : socket_path_(std::move(socket_path)), daemon_directory_(std::move(daemon_directory)) {}

  absl::Status Start() {
    absl::StatusOr<std::string> daemon = FindDaemon(daemon_directory_);
    if (!daemon.ok()) return daemon.status();
    const fs::path log_path = PrivateDaemonLogPath();
    std::error_code error;
    fs::create_directories(log_path.parent_path(), error);
    absl::StatusOr<os::Fd> log = OpenFile(log_path, O_WRONLY | O_CREAT | O_APPEND);
    if (!log.ok()) return log.status();
    absl::StatusOr<os::Fd> null = OpenFile("/dev/null", O_RDONLY);
    if (!null.ok()) return null.status();
    log_start_ = lseek(log->get(), 0, SEEK_END);
    absl::StatusOr<os::Pidfd> process =
        os::Spawn({.argv = {*daemon, "--socket", socket_path_, "--idle-timeout", kIdleTimeout},
                   .env = os::CurrentEnvironment(),
                   .cwd = "/",
                   .fds = {{STDIN_FILENO, null->get()},
                           {STDOUT_FILENO, log->get()},
                           {STDERR_FILENO, log->get()}},
                   .group = os::SpawnOptions::Group::kNewSession});
    if (!process.ok()) return process.status();
    process_ = *std::move(process);
    return absl::OkStatus();
  }

  bool started() const { return process_.valid(); }

  // Why the daemon will not come up; nothing while it may.
  std::optional<absl::Status> Died() const {
    if (!started()) return std::nullopt;
    const absl::StatusOr<std::optional<os::Pidfd::Exit>> exit = process_.Reap(false);
    if (!exit.ok() || !exit->has_value()) return std::nullopt;
    const int status = (*exit)->wait_status;
    return absl::UnavailableError(absl::StrCat("the private daemon ended while it started (",
                                               WIFEXITED(status)
                                                   ? absl::StrCat("exit code ", WEXITSTATUS(status))
                                                   : absl::StrCat("signal ", WTERMSIG(status)),
                                               "); ", LogWords()));
  }

  std::string LogWords() const {
    const std::string path = PrivateDaemonLogPath();
    const std::string tail = started() ? LogTail(path, log_start_) : "";
    return tail.empty() ? absl::StrCat("its log is ", path)
                        : absl::StrCat("the end of its log, ", path, ":\n", tail);
  }

  // Until the daemon dies, or a moment has passed.
  void Pause() const {
    pollfd wait = {.fd = started() ? process_.fd() : -1, .events = POLLIN, .revents = 0};
    poll(&wait, 1, kProbePauseMillis);
  }

 private:
  const std::string socket_path_;
  const std::string daemon_directory_;
  os::Pidfd process_;
  std::streamoff log_start_ = 0;
};

}  // namespace

std::string PrivateDaemonLogPath() {
  const char* const state = std::getenv("XDG_STATE_HOME");
  if (state != nullptr && state[0] == '/') return absl::StrCat(state, "/prefork/preforkd.log");
  const char* const home = std::getenv("HOME");
  return absl::StrCat(home != nullptr ? home : "/tmp", "/.local/state/prefork/preforkd.log");
}

absl::StatusOr<std::string> FindDaemon(const std::string& directory) {
  if (const char* chosen = std::getenv("PREFORK_DAEMON"); chosen != nullptr && chosen[0] != '\0') {
    if (IsExecutable(chosen)) return std::string(chosen);
    return absl::NotFoundError(
        absl::StrCat("PREFORK_DAEMON names '", chosen, "', which is not an executable file"));
  }
  std::error_code error;
  const fs::path beside = directory.empty()
                              ? fs::read_symlink("/proc/self/exe", error).parent_path()
                              : fs::path(directory);
  if (IsExecutable(beside / kDaemonName)) return (beside / kDaemonName).string();
  const char* const path = std::getenv("PATH");
  for (const absl::string_view directory : absl::StrSplit(path != nullptr ? path : "", ':')) {
    const fs::path candidate = fs::path(std::string(directory)) / kDaemonName;
    if (!directory.empty() && IsExecutable(candidate)) return candidate.string();
  }
  return absl::NotFoundError(absl::StrCat(kDaemonName, " was found neither in ", beside.string(),
                                          " nor in PATH; install it, or set PREFORK_DAEMON to it"));
}

absl::Status StartPrivateDaemon(const std::string& socket_path, const std::string& daemon_directory,
                                absl::Time deadline) {
  absl::Status directory = MakePrivateDirectory(fs::path(socket_path).parent_path());
  if (!directory.ok()) return directory;
  absl::StatusOr<os::Fd> lock =
      OpenFile(absl::StrCat(socket_path, ".lock"), O_RDWR | O_CREAT | O_NOFOLLOW);
  if (!lock.ok()) return lock.status();

  Starter starter(socket_path, daemon_directory);
  bool locked = false;
  while (absl::Now() < deadline) {
    if (!locked) locked = flock(lock->get(), LOCK_EX | LOCK_NB) == 0;
    if (ProbeSocket(socket_path).ok()) return absl::OkStatus();
    if (locked && !starter.started()) {
      absl::Status started = starter.Start();
      if (!started.ok()) return started;
    }
    if (std::optional<absl::Status> death = starter.Died()) return *std::move(death);
    starter.Pause();
  }
  return absl::DeadlineExceededError(
      absl::StrCat("the private daemon did not accept connections on ", socket_path, " in time; ",
                   starter.LogWords()));
}

}  // namespace prefork::client
