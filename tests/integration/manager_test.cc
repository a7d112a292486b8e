// What a service manager gives a daemon and hears from it: sockets that it listens on itself, and a
// watchdog that wants to be told that all is well.
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/os/pipe.h"
#include "gmock/gmock.h"
#include "tests/integration/cli_run.h"
#include "tests/integration/daemon_fixture.h"
#include "tests/integration/wait_for.h"

namespace prefork::testing {
namespace {

using ::testing::HasSubstr;

constexpr char kCommandPool[] = "[pool.default]\nruntime = \"command\"\nsize = 1\n";

CliRun::Result RunEcho(const std::string& socket) {
  return CliRun({CliProgram(), "--address", "unix:" + socket, "run", "-C", "/", "echo", "hello"},
                "", {})
      .Finish();
}

// A listening Unix socket in a directory of its own, as a socket unit has it.
class ListeningSocket {
 public:
  explicit ListeningSocket(bool listening = true)
      : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    directory_ = "/tmp/prefork-unit-XXXXXX";
    EXPECT_NE(mkdtemp(directory_.data()), nullptr);
    sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
    path().copy(address.sun_path, sizeof(address.sun_path) - 1);
    EXPECT_EQ(bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_TRUE(!listening || listen(fd_.get(), 16) == 0);
  }
  ~ListeningSocket() { std::filesystem::remove_all(directory_); }
  ListeningSocket(const ListeningSocket&) = delete;
  ListeningSocket& operator=(const ListeningSocket&) = delete;

  int fd() const { return fd_.get(); }
  std::string path() const { return directory_ + "/unit.sock"; }

 private:
  os::Fd fd_;
  std::string directory_;
};

TEST(SocketActivationTest, WhoCameBeforeTheDaemonIsServed) {
  const ListeningSocket unit;
  CliRun early(
      {CliProgram(), "--address", "unix:" + unit.path(), "run", "-C", "/", "echo", "early"}, "",
      {});
  const auto daemon = Daemon::Start({.config = kCommandPool, .activated_sockets = {unit.fd()}});
  ASSERT_TRUE(daemon.ok()) << daemon.status();
  const CliRun::Result result = early.Finish();
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "early\n");
  EXPECT_FALSE(std::filesystem::exists((*daemon)->socket())) << "it has no socket of its own";
}

TEST(SocketActivationTest, TheSocketOutlivesTheDaemonForTheNextOne) {
  const ListeningSocket unit;
  for (int i = 0; i < 2; ++i) {
    const auto daemon = Daemon::Start({.config = kCommandPool, .activated_sockets = {unit.fd()}});
    ASSERT_TRUE(daemon.ok()) << daemon.status();
    const CliRun::Result result = RunEcho(unit.path());
    EXPECT_EQ(result.out, "hello\n") << result.err;
  }
  EXPECT_TRUE(std::filesystem::exists(unit.path()));
}

TEST(SocketActivationTest, TasksDoNotInheritIt) {
  const ListeningSocket unit;
  const auto daemon = Daemon::Start({.config = kCommandPool, .activated_sockets = {unit.fd()}});
  ASSERT_TRUE(daemon.ok()) << daemon.status();
  const CliRun::Result result = CliRun({CliProgram(), "--address", "unix:" + unit.path(), "run",
                                        "-C", "/", "sh", "-c", "env; ls -l /proc/self/fd"},
                                       "", {})
                                    .Finish();
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, ::testing::Not(HasSubstr("LISTEN_")));
  EXPECT_THAT(result.out, ::testing::Not(HasSubstr("socket:")));
}

TEST(SocketActivationTest, WhatIsNoListeningSocketIsRefusedInOneLine) {
  const ListeningSocket deaf(/*listening=*/false);
  const auto daemon = Daemon::Start(
      {.config = kCommandPool, .activated_sockets = {deaf.fd()}, .wait_until_ready = false});
  ASSERT_TRUE(daemon.ok()) << daemon.status();
  const absl::StatusOr<int> status = (*daemon)->WaitForExit();
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_EQ(WEXITSTATUS(*status), 2);
  EXPECT_EQ((*daemon)->Log(),
            "<3>descriptor 3 from LISTEN_FDS is no listening Unix stream socket; the socket unit "
            "needs ListenStream= with a path\n");
}

// Holds one thread of another process still, as a debugger does.
class HeldThread {
 public:
  explicit HeldThread(pid_t tid) : tid_(tid) {
    EXPECT_EQ(ptrace(PTRACE_SEIZE, tid_, nullptr, nullptr), 0);
    EXPECT_EQ(ptrace(PTRACE_INTERRUPT, tid_, nullptr, nullptr), 0);
    EXPECT_EQ(waitpid(tid_, nullptr, __WALL), tid_);
  }
  ~HeldThread() { EXPECT_EQ(ptrace(PTRACE_DETACH, tid_, nullptr, nullptr), 0); }
  HeldThread(const HeldThread&) = delete;
  HeldThread& operator=(const HeldThread&) = delete;

 private:
  const pid_t tid_;
};

std::optional<pid_t> FindThread(pid_t pid, const std::string& name) {
  for (const auto& entry :
       std::filesystem::directory_iterator(absl::StrCat("/proc/", pid, "/task"))) {
    std::string comm;
    std::getline(std::ifstream(entry.path() / "comm"), comm);
    if (comm == name) return std::stoi(entry.path().filename());
  }
  return std::nullopt;
}

class WatchdogTest : public ::testing::Test {
 protected:
  // Pings that came so far.
  size_t Pings() const {
    const std::vector<std::string> all = daemon_->Notifications();
    return static_cast<size_t>(std::count(all.begin(), all.end(), "WATCHDOG=1"));
  }
  bool AnotherPingComes() {
    const size_t before = Pings();
    return WaitFor([&] { return Pings() > before; }, 10 * kLimit);
  }

  static constexpr absl::Duration kLimit = absl::Milliseconds(200);
  std::unique_ptr<Daemon> daemon_;
};

TEST_F(WatchdogTest, IsToldAsOftenAsItWantsUntilTheEngineHangs) {
  auto daemon =
      Daemon::Start({.config = kCommandPool,
                     .env = {{"WATCHDOG_USEC", absl::StrCat(absl::ToInt64Microseconds(kLimit))}}});
  ASSERT_TRUE(daemon.ok()) << daemon.status();
  daemon_ = *std::move(daemon);
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(AnotherPingComes());
  const std::optional<pid_t> engine = FindThread(daemon_->pid(), "prefork-engine");
  ASSERT_TRUE(engine.has_value());
  {
    const HeldThread held(*engine);
    AnotherPingComes();  // one may be on its way
    EXPECT_FALSE(AnotherPingComes());
  }
  EXPECT_TRUE(AnotherPingComes());
}

TEST_F(WatchdogTest, OfAnotherProcessIsNotTold) {
  auto daemon =
      Daemon::Start({.config = kCommandPool,
                     .env = {{"WATCHDOG_USEC", absl::StrCat(absl::ToInt64Microseconds(kLimit))},
                             {"WATCHDOG_PID", "1"}}});
  ASSERT_TRUE(daemon.ok()) << daemon.status();
  daemon_ = *std::move(daemon);
  EXPECT_FALSE(AnotherPingComes());
}

}  // namespace
}  // namespace prefork::testing
