// The daemon runs in /tmp/prefork-XXXXXX (socket paths are short), with:
//
//   config.toml   what the test gave
//   d.sock        its socket
//   notify        a datagram socket of ours, for READY=1 and its kin
//   log           its stderr
//
// Every process below it inherits PREFORK_TEST_DAEMON=<directory>, by which leftovers are found wherever they hang.
#include "tests/integration/daemon_fixture.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/os/errno_status.h"
#include "common/os/eventfd.h"
#include "common/os/process_stats.h"
#include "common/os/spawn.h"
#include "gtest/gtest.h"
#include "tests/integration/wait_for.h"

namespace prefork::testing {
namespace {

constexpr char kMarkerName[] = "PREFORK_TEST_DAEMON=";

std::string ReadWholeFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::set<std::string> ShmEntries() {
  std::set<std::string> entries;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm", ignored)) {
    entries.insert(entry.path().filename());
  }
  return entries;
}

std::vector<pid_t> AllProcesses() {
  std::vector<pid_t> pids;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename();
    pid_t pid = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (error == std::errc() && end == name.data() + name.size()) pids.push_back(pid);
  }
  return pids;
}

}  // namespace

std::string DaemonProgram() { return PREFORK_DAEMON_PROGRAM; }
std::string WorkerProgram() { return PREFORK_WORKER_PROGRAM; }
std::string CliProgram() { return PREFORK_CLI_PROGRAM; }
std::string ExamplesModule() { return PREFORK_EXAMPLES_MODULE; }

std::string NativePoolConfig(const std::string& name, int size, const std::string& more) {
  return absl::StrCat("[pool.", name, "]\nruntime = \"native\"\nsize = ", size, "\nmodules = [\"",
                      ExamplesModule(), "\"]\n", more, "\n");
}

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Start(const DaemonOptions& options) {
  std::unique_ptr<Daemon> daemon(new Daemon());
  if (absl::Status launched = daemon->Launch(options); !launched.ok()) return launched;
  if (options.wait_until_ready) {
    if (absl::Status ready = daemon->WaitUntilReady(options.ready_timeout); !ready.ok()) {
      return ready;
    }
  }
  return daemon;
}

absl::Status Daemon::Launch(const DaemonOptions& options) {
  directory_ = "/tmp/prefork-XXXXXX";
  if (mkdtemp(directory_.data()) == nullptr) return os::ErrnoStatus(errno, "mkdtemp");
  socket_ = directory_ + "/d.sock";
  marker_ = kMarkerName + directory_;
  shm_before_ = ShmEntries();
  std::ofstream(directory_ + "/config.toml") << options.config;

  notify_socket_ = os::Fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  const std::string notify_path = directory_ + "/notify";
  notify_path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  if (bind(notify_socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) !=
      0) {
    return os::ErrnoStatus(errno, "bind of " + notify_path);
  }
  absl::StatusOr<os::Fd> stop_event = os::CreateEventfd();
  if (!stop_event.ok()) return stop_event.status();
  stop_event_ = *std::move(stop_event);
  listener_ = std::thread([this] { Listen(); });

  const os::Fd log(
      open((directory_ + "/log").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_APPEND, 0600));
  if (!log.valid()) return os::ErrnoStatus(errno, "open of the log");
  const os::Fd null(open("/dev/null", O_RDONLY | O_CLOEXEC));

  os::SpawnOptions spawn;
  spawn.argv = {DaemonProgram(),
                "--config",
                directory_ + "/config.toml",
                "--set",
                "daemon.socket=" + socket_,
                "--set",
                "daemon.worker_program=" + WorkerProgram()};
  spawn.argv.insert(spawn.argv.end(), options.flags.begin(), options.flags.end());
  for (std::string& entry : os::CurrentEnvironment()) {
    if (!absl::StartsWith(entry, "PREFORK_")) spawn.env.push_back(std::move(entry));
  }
  for (const auto& [name, value] : options.env) spawn.env.push_back(absl::StrCat(name, "=", value));
  spawn.env.push_back("NOTIFY_SOCKET=" + notify_path);
  spawn.env.push_back(marker_);
  spawn.fds = {{STDIN_FILENO, null.get()}, {STDOUT_FILENO, log.get()}, {STDERR_FILENO, log.get()}};
  if (!options.activated_sockets.empty()) {
    // Only the process itself can know its pid before it becomes the daemon.
    spawn.argv.insert(spawn.argv.begin(), {"/bin/sh", "-c", "LISTEN_PID=$$ exec \"$0\" \"$@\""});
    spawn.env.push_back(absl::StrCat("LISTEN_FDS=", options.activated_sockets.size()));
    for (const int socket : options.activated_sockets) {
      spawn.fds.push_back({static_cast<int>(spawn.fds.size()), socket});
    }
  }
  spawn.group = os::SpawnOptions::Group::kNewSession;
  absl::StatusOr<os::Pidfd> process = os::Spawn(spawn);
  if (!process.ok()) return process.status();
  process_ = *std::move(process);
  return absl::OkStatus();
}

Daemon::~Daemon() {
  if (running()) {
    if (const absl::StatusOr<int> stopped = Stop(); !stopped.ok()) {
      ADD_FAILURE() << stopped.status();
      Kill().IgnoreError();
    }
  }
  if (process_.valid()) {
    const std::vector<std::string> leftovers = Leftovers();
    EXPECT_TRUE(leftovers.empty()) << "left behind: " << absl::StrJoin(leftovers, "; ") << "\n"
                                   << Log();
    for (const pid_t pid : Descendants()) kill(pid, SIGKILL);
  }
  if (listener_.joinable()) {
    os::SignalEventfd(stop_event_.get());
    listener_.join();
  }
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

void Daemon::Listen() {
  std::array<pollfd, 2> polled = {
      {{notify_socket_.get(), POLLIN, 0}, {stop_event_.get(), POLLIN, 0}}};
  while (true) {
    if (poll(polled.data(), polled.size(), -1) < 0 && errno != EINTR) return;
    if ((polled[1].revents & POLLIN) != 0) return;
    std::array<char, 4096> buffer;
    const ssize_t size = recv(notify_socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (size <= 0) continue;
    const absl::MutexLock lock(&mu_);
    for (const absl::string_view line :
         absl::StrSplit(absl::string_view(buffer.data(), size), '\n', absl::SkipEmpty())) {
      notifications_.emplace_back(line);
    }
  }
}

absl::Status Daemon::Failure(absl::string_view what) const {
  return absl::FailedPreconditionError(absl::StrCat(what, "; its log:\n", Log()));
}

absl::Status Daemon::WaitUntilReady(absl::Duration timeout) {
  const auto ready = [this] {
    const std::vector<std::string> all = Notifications();
    return std::find(all.begin(), all.end(), "READY=1") != all.end();
  };
  if (!WaitFor([&] { return ready() || process_.HasExited(); }, timeout)) {
    return Failure(absl::StrCat("preforkd was not ready within ", absl::FormatDuration(timeout)));
  }
  return ready() ? absl::OkStatus() : Failure("preforkd ended before it was ready");
}

std::string Daemon::Log() const { return ReadWholeFile(directory_ + "/log"); }

std::vector<std::string> Daemon::Notifications() const {
  const absl::MutexLock lock(&mu_);
  return notifications_;
}

bool Daemon::WaitForNotification(const std::string& text, absl::Duration timeout) {
  return WaitFor(
      [&] {
        const std::vector<std::string> all = Notifications();
        return std::any_of(all.begin(), all.end(),
                           [&](const std::string& each) { return absl::StrContains(each, text); });
      },
      timeout);
}

absl::StatusOr<int> Daemon::WaitForExit(absl::Duration timeout) {
  if (exited_) return wait_status_;
  pollfd polled{process_.fd(), POLLIN, 0};
  const absl::Time deadline = absl::Now() + timeout;
  int ready = 0;
  do {
    const int64_t left_ms = absl::ToInt64Milliseconds(deadline - absl::Now());
    ready = poll(&polled, 1, static_cast<int>(std::max<int64_t>(left_ms, 0)));
  } while (ready < 0 && errno == EINTR);
  if (ready == 0) {
    return absl::DeadlineExceededError(absl::StrCat(
        "preforkd did not end within ", absl::FormatDuration(timeout), "; its log:\n", Log()));
  }
  absl::StatusOr<std::optional<os::Pidfd::Exit>> exit = process_.Reap(/*wait=*/true);
  if (!exit.ok()) return exit.status();
  exited_ = true;
  wait_status_ = (*exit)->wait_status;
  return wait_status_;
}

absl::StatusOr<int> Daemon::Stop(absl::Duration timeout) {
  if (!running()) return wait_status_;
  if (absl::Status sent = process_.SendSignal(SIGTERM); !sent.ok()) return sent;
  return WaitForExit(timeout);
}

absl::StatusOr<int> Daemon::Kill() {
  if (!running()) return wait_status_;
  if (absl::Status sent = process_.SendSignal(SIGKILL); !sent.ok()) return sent;
  killed_ = true;
  return WaitForExit();
}

std::vector<pid_t> Daemon::Descendants() const {
  std::vector<pid_t> found;
  for (const pid_t pid : AllProcesses()) {
    if (pid == process_.pid() || pid == getpid()) continue;
    // A zombie has no environment, so it is not in here.
    const std::string environment = ReadWholeFile(absl::StrCat("/proc/", pid, "/environ"));
    const std::vector<absl::string_view> entries = absl::StrSplit(environment, '\0');
    if (std::find(entries.begin(), entries.end(), marker_) != entries.end()) found.push_back(pid);
  }
  return found;
}

std::vector<std::string> Daemon::Leftovers(absl::Duration timeout) const {
  WaitFor([this] { return Descendants().empty(); }, timeout);
  std::vector<std::string> left;
  for (const pid_t pid : Descendants()) {
    std::string command = ReadWholeFile(absl::StrCat("/proc/", pid, "/cmdline"));
    std::replace(command.begin(), command.end(), '\0', ' ');
    left.push_back(absl::StrCat("process ", pid, " (", command, ")"));
  }
  if (!killed_ && std::filesystem::exists(socket_)) left.push_back(socket_);
  for (const std::string& entry : ShmEntries()) {
    if (!shm_before_.contains(entry)) left.push_back("/dev/shm/" + entry);
  }
  return left;
}

}  // namespace prefork::testing
