// The zygote as a real process, with the test as its daemon.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/os/process_stats.h"
#include "common/os/spawn.h"
#include "tests/server/worker/fake_daemon.h"
#include "worker_programs.h"

namespace prefork::worker_testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

FakeDaemon::Options NativePool(std::vector<std::string> modules = {kTestModule}) {
  FakeDaemon::Options options;
  options.program = kWorkerProgram;
  options.arguments = {"--runtime", "native", "--pool", "testing"};
  for (std::string& module : modules) {
    options.arguments.emplace_back("--module");
    options.arguments.push_back(std::move(module));
  }
  return options;
}

std::unique_ptr<FakeDaemon> StartReady(FakeDaemon::Options options) {
  absl::StatusOr<std::unique_ptr<FakeDaemon>> daemon = FakeDaemon::Start(std::move(options));
  EXPECT_TRUE(daemon.ok()) << daemon.status();
  const absl::StatusOr<zygote::Ready> ready = (*daemon)->Expect<zygote::Ready>();
  EXPECT_TRUE(ready.ok()) << ready.status();
  return *std::move(daemon);
}

std::string ReadFile(const std::string& path) {
  std::stringstream content;
  content << std::ifstream(path).rdbuf();
  return content.str();
}

// The limit of open files that leaves a process room for so many more.
rlim_t LimitWithRoomFor(pid_t pid, size_t count) {
  std::set<rlim_t> open;
  for (const auto& entry :
       std::filesystem::directory_iterator(absl::StrCat("/proc/", pid, "/fd"))) {
    open.insert(std::stoul(entry.path().filename().string()));
  }
  rlim_t limit = 0;
  for (size_t room = 0; room < count; ++limit) room += open.contains(limit) ? 0 : 1;
  return limit;
}

pid_t ParentOf(pid_t pid) {
  const absl::StatusOr<os::ProcessStats> stats = os::ReadProcessStats(pid);
  return stats.ok() ? stats->parent : -1;
}

TEST(ZygoteTest, ReadyNamesTheFunctionsAndTheProtocol) {
  absl::StatusOr<std::unique_ptr<FakeDaemon>> daemon = FakeDaemon::Start(NativePool());
  ASSERT_TRUE(daemon.ok()) << daemon.status();
  const absl::StatusOr<zygote::Ready> ready = (*daemon)->Expect<zygote::Ready>();
  ASSERT_TRUE(ready.ok()) << ready.status();
  EXPECT_EQ(ready->body.protocol_version, zygote::kProtocolVersion);
  EXPECT_EQ(ready->body.pid, static_cast<uint32_t>((*daemon)->zygote().pid()));
  EXPECT_THAT(ready->functions, HasSubstr("\necho\treturns its payload\n"));
}

TEST(ZygoteTest, AModuleThatCannotBeLoadedIsNamedInFailed) {
  absl::StatusOr<std::unique_ptr<FakeDaemon>> daemon =
      FakeDaemon::Start(NativePool({kTestModule, "/nowhere/missing.so"}));
  ASSERT_TRUE(daemon.ok()) << daemon.status();
  const absl::StatusOr<zygote::Failed> failed = (*daemon)->Expect<zygote::Failed>();
  ASSERT_TRUE(failed.ok()) << failed.status();
  EXPECT_THAT(failed->reason, StartsWith("cannot load module /nowhere/missing.so: "));
  const std::optional<int> status = (*daemon)->WaitZygoteEnd();
  ASSERT_TRUE(status.has_value());
  EXPECT_EQ(WEXITSTATUS(*status), 1);
}

TEST(ZygoteTest, AnInitialiserThatThrowsIsNamedInFailed) {
  absl::StatusOr<std::unique_ptr<FakeDaemon>> daemon =
      FakeDaemon::Start(NativePool({kThrowsModule}));
  ASSERT_TRUE(daemon.ok()) << daemon.status();
  const absl::StatusOr<zygote::Failed> failed = (*daemon)->Expect<zygote::Failed>();
  ASSERT_TRUE(failed.ok()) << failed.status();
  EXPECT_THAT(failed->reason, AllOf(HasSubstr(kThrowsModule), HasSubstr("model file is missing")));
}

TEST(ZygoteTest, WrongArgumentsAreNamedInFailed) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{}, "--runtime is missing; usage: "},
      {{"--runtime", "ruby"}, "'ruby' is no runtime; usage: "},
      {{"--runtime"}, "--runtime needs a value; usage: "},
      {{"--colour", "red"}, "unknown argument '--colour'; usage: "},
      {{"--runtime", "command", "--module", "/x.so"}, "--module is for the runtime native; "}};
  for (const auto& [arguments, message] : cases) {
    FakeDaemon::Options options = NativePool();
    options.arguments = arguments;
    absl::StatusOr<std::unique_ptr<FakeDaemon>> daemon = FakeDaemon::Start(options);
    ASSERT_TRUE(daemon.ok()) << daemon.status();
    const absl::StatusOr<zygote::Failed> failed = (*daemon)->Expect<zygote::Failed>();
    ASSERT_TRUE(failed.ok()) << failed.status();
    EXPECT_THAT(failed->reason, StartsWith(message));
  }
}

TEST(ZygoteTest, WithoutADaemonItSaysHowItIsStarted) {
  os::SpawnOptions spawn;
  spawn.argv = {kWorkerProgram, "--runtime", "command"};
  spawn.fds = {{STDOUT_FILENO, 1}, {STDERR_FILENO, 2}};
  for (const char* variable : {"PATH=/bin", "PREFORK_ZYGOTE_FD=77"}) {
    spawn.env = {variable};
    absl::StatusOr<os::Pidfd> process = os::Spawn(spawn);
    ASSERT_TRUE(process.ok()) << process.status();
    const absl::StatusOr<std::optional<os::Pidfd::Exit>> exit = process->Reap(/*wait=*/true);
    ASSERT_TRUE(exit.ok());
    EXPECT_EQ(WEXITSTATUS((*exit)->wait_status), 2);
  }
}

TEST(ZygoteTest, AWorkersExitIsReportedWithStatusAndCost) {
  const std::unique_ptr<FakeDaemon> daemon = StartReady(NativePool());
  absl::StatusOr<std::unique_ptr<FakeWorker>> worker = daemon->Fork(4);
  ASSERT_TRUE(worker.ok()) << worker.status();
  ASSERT_TRUE((*worker)->Submit({{.id = 1, .function = "exit", .payload = "7"}}));
  const absl::StatusOr<zygote::Exited> exited = daemon->Expect<zygote::Exited>();
  ASSERT_TRUE(exited.ok()) << exited.status();
  EXPECT_EQ(exited->body.worker.index, 4u);
  EXPECT_EQ(exited->body.pid, static_cast<uint32_t>((*worker)->pid()));
  ASSERT_TRUE(WIFEXITED(exited->body.wait_status));
  EXPECT_EQ(WEXITSTATUS(exited->body.wait_status), 7);
  EXPECT_GT(exited->body.max_rss_bytes, 0);
  EXPECT_GT(exited->body.user_cpu_ns + exited->body.system_cpu_ns, 0);
}

TEST(ZygoteTest, EverySignalThatKillsAWorkerIsReported) {
  const std::unique_ptr<FakeDaemon> daemon = StartReady(NativePool());
  const std::vector<std::pair<std::string, int>> cases = {
      {"abort", SIGABRT}, {"segfault", SIGSEGV}, {"kill_self", SIGKILL}};
  for (const auto& [function, signal] : cases) {
    absl::StatusOr<std::unique_ptr<FakeWorker>> worker = daemon->Fork(0);
    ASSERT_TRUE(worker.ok()) << worker.status();
    ASSERT_TRUE(
        (*worker)->Submit({{.id = 1, .function = function, .payload = absl::StrCat(signal)}}));
    const absl::StatusOr<zygote::Exited> exited = daemon->Expect<zygote::Exited>();
    ASSERT_TRUE(exited.ok()) << exited.status();
    EXPECT_TRUE(WIFSIGNALED(exited->body.wait_status)) << function;
    EXPECT_EQ(WTERMSIG(exited->body.wait_status), signal) << function;
  }
}

TEST(ZygoteTest, OrphansOfACrashedWorkerAreGoneBeforeItsExitIsReported) {
  const std::unique_ptr<FakeDaemon> daemon = StartReady(NativePool());
  absl::StatusOr<std::unique_ptr<FakeWorker>> worker = daemon->Fork(0);
  absl::StatusOr<std::unique_ptr<FakeWorker>> other = daemon->Fork(1);
  ASSERT_TRUE(worker.ok() && other.ok());
  ASSERT_TRUE((*worker)->Submit({{.id = 1, .function = "orphan_and_crash"}}));
  const absl::StatusOr<zygote::Exited> exited = daemon->Expect<zygote::Exited>();
  ASSERT_TRUE(exited.ok()) << exited.status();
  (*worker)->Pump();
  pid_t grandchild = 0;
  ASSERT_TRUE(absl::SimpleAtoi((*worker)->partials().at(1).at(0), &grandchild));
  EXPECT_TRUE(absl::IsNotFound(os::ReadProcessStats(grandchild).status()));
  EXPECT_EQ((*other)->Run({.id = 2, .function = "echo", .payload = "alive"}).value, "alive");
}

TEST(ZygoteTest, TheDaemonsDeathLeavesNoProcess) {
  std::unique_ptr<FakeDaemon> daemon = StartReady(NativePool());
  std::vector<std::unique_ptr<FakeWorker>> workers;
  for (uint32_t i = 0; i < 4; ++i) {
    absl::StatusOr<std::unique_ptr<FakeWorker>> worker = daemon->Fork(i);
    ASSERT_TRUE(worker.ok()) << worker.status();
    workers.push_back(*std::move(worker));
  }
  ASSERT_TRUE(workers[0]->Submit({{.id = 1, .function = "hang"}}));
  ASSERT_TRUE(workers[1]->Submit({{.id = 2, .function = "ignore_term"}}));
  ASSERT_TRUE(workers[2]->Submit({{.id = 3, .function = "orphan_and_hang"}}));
  ASSERT_TRUE(workers[2]->PumpUntil([&] { return !workers[2]->partials().empty(); }));
  pid_t grandchild = 0;
  ASSERT_TRUE(absl::SimpleAtoi(workers[2]->partials().at(3).at(0), &grandchild));

  daemon->CloseSocket();
  const std::optional<int> status = daemon->WaitZygoteEnd();
  ASSERT_TRUE(status.has_value());
  EXPECT_TRUE(WIFEXITED(*status) && WEXITSTATUS(*status) == 0);
  for (const std::unique_ptr<FakeWorker>& worker : workers) {
    EXPECT_TRUE(absl::IsNotFound(os::ReadProcessStats(worker->pid()).status()));
  }
  EXPECT_TRUE(absl::IsNotFound(os::ReadProcessStats(grandchild).status()));
}

TEST(ZygoteTest, ShutdownAndSigtermEndItAlike) {
  for (const bool by_message : {true, false}) {
    const std::unique_ptr<FakeDaemon> daemon = StartReady(NativePool());
    absl::StatusOr<std::unique_ptr<FakeWorker>> worker = daemon->Fork(0);
    ASSERT_TRUE(worker.ok()) << worker.status();
    if (by_message) {
      ASSERT_TRUE(daemon->socket().Send(zygote::Shutdown{}).ok());
    } else {
      ASSERT_TRUE(daemon->zygote().SendSignal(SIGTERM).ok());
    }
    const absl::StatusOr<zygote::Exited> exited = daemon->Expect<zygote::Exited>();
    ASSERT_TRUE(exited.ok()) << exited.status();
    EXPECT_EQ(exited->body.wait_status, 0) << "an idle worker ends politely on SIGTERM";
    const std::optional<int> status = daemon->WaitZygoteEnd();
    ASSERT_TRUE(status.has_value());
    EXPECT_EQ(*status, 0);
  }
}

TEST(ZygoteTest, WorkersOutliveTheirZygoteAndEndWithTheirDaemon) {
  const std::unique_ptr<FakeDaemon> daemon = StartReady(NativePool());
  absl::StatusOr<std::unique_ptr<FakeWorker>> idle = daemon->Fork(0);
  absl::StatusOr<std::unique_ptr<FakeWorker>> busy = daemon->Fork(1);
  ASSERT_TRUE(idle.ok() && busy.ok());
  ASSERT_TRUE(
      (*busy)->Submit({{.id = 1, .function = "ignore_term", .flags = shm::kTaskNotifyStart}}));
  ASSERT_TRUE((*busy)->PumpUntil([&] { return !(*busy)->started().empty(); }));
  ASSERT_TRUE(daemon->zygote().SendSignal(SIGKILL).ok());
  ASSERT_TRUE(daemon->WaitZygoteEnd().has_value());
  EXPECT_EQ((*idle)->Run({.id = 2, .function = "echo", .payload = "still here"}).value,
            "still here");
  EXPECT_FALSE((*busy)->pidfd().HasExited());
  // The daemon ends retirement style: an idle worker sees its socket close.
  (*idle)->control().Close();
  EXPECT_TRUE(WaitExit((*idle)->pidfd()));
  (void)(*busy)->pidfd().SendSignal(SIGKILL);
  EXPECT_TRUE(WaitExit((*busy)->pidfd()));
}

TEST(ZygoteTest, ABusyWorkerDiesWhenDaemonAndZygoteAreBothGone) {
  const std::unique_ptr<FakeDaemon> daemon = StartReady(NativePool());
  absl::StatusOr<std::unique_ptr<FakeWorker>> busy = daemon->Fork(0);
  ASSERT_TRUE(busy.ok()) << busy.status();
  ASSERT_TRUE(
      (*busy)->Submit({{.id = 1, .function = "ignore_term", .flags = shm::kTaskNotifyStart}}));
  ASSERT_TRUE((*busy)->PumpUntil([&] { return !(*busy)->started().empty(); }));
  (*busy)->control().Close();
  EXPECT_FALSE((*busy)->pidfd().HasExited()) << "it is in a task's code and can't look";
  ASSERT_TRUE(daemon->zygote().SendSignal(SIGKILL).ok());
  EXPECT_TRUE(WaitExit((*busy)->pidfd()));
  ASSERT_TRUE(daemon->WaitZygoteEnd().has_value());
}

TEST(ZygoteTest, AWorkerHasItsOwnSessionTitleAndOomScoreAndNoForeignDescriptors) {
  const std::unique_ptr<FakeDaemon> daemon = StartReady(NativePool());
  absl::StatusOr<std::unique_ptr<FakeWorker>> worker = daemon->Fork(3);
  ASSERT_TRUE(worker.ok()) << worker.status();
  const pid_t pid = (*worker)->pid();
  const absl::StatusOr<os::ProcessStats> stats = os::ReadProcessStats(pid);
  ASSERT_TRUE(stats.ok());
  EXPECT_EQ(stats->session, pid);
  EXPECT_EQ(stats->process_group, pid);
  EXPECT_EQ(ParentOf(pid), daemon->zygote().pid());
  EXPECT_THAT(ReadFile(absl::StrCat("/proc/", pid, "/cmdline")),
              StartsWith("prefork: worker testing/3.1"));
  EXPECT_THAT(ReadFile(absl::StrCat("/proc/", daemon->zygote().pid(), "/cmdline")),
              StartsWith("prefork: zygote testing"));
  EXPECT_EQ(ReadFile(absl::StrCat("/proc/", pid, "/oom_score_adj")), "500\n");
}

TEST(ZygoteTest, AForkThatFailsIsAnsweredWithTheReason) {
  const std::unique_ptr<FakeDaemon> daemon = StartReady(NativePool());
  // Room for the descriptors that come with FORK, and not for the pidfd.
  const pid_t zygote = daemon->zygote().pid();
  rlimit limit = {LimitWithRoomFor(zygote, zygote::kForkDescriptorCount), 1024};
  ASSERT_EQ(prlimit(zygote, RLIMIT_NOFILE, &limit, nullptr), 0);
  const absl::StatusOr<std::unique_ptr<FakeWorker>> refused = daemon->Fork(0);
  EXPECT_THAT(std::string(refused.status().message()),
              AllOf(HasSubstr("pidfd_open"), HasSubstr("raise the open files limit")));
  limit.rlim_cur = 1024;
  ASSERT_EQ(prlimit(zygote, RLIMIT_NOFILE, &limit, nullptr), 0);
  const absl::StatusOr<std::unique_ptr<FakeWorker>> worker = daemon->Fork(0);
  EXPECT_TRUE(worker.ok()) << worker.status();
}

}  // namespace
}  // namespace prefork::worker_testing
