#include "server/worker/command_runtime.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "common/zygote/command_codec.h"
#include "tests/server/worker/fake_task_context.h"

namespace prefork::worker {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class CommandRuntimeTest : public ::testing::Test {
 protected:
  TaskEnd RunBlock(const zygote::CommandBlock& command) {
    const std::string payload = zygote::EncodeCommand(command);
    TaskView task;
    task.payload = payload;
    TaskEnd end;
    runtime_.Run(task, context_, end);
    return end;
  }
  TaskEnd Run(std::vector<std::string> argv) {
    zygote::CommandBlock command;
    command.argv = std::move(argv);
    return RunBlock(command);
  }
  // Runs a shell script whose stdout is a file, and returns what it wrote.
  std::string OutputOf(zygote::CommandBlock command, std::string script) {
    const std::string path =
        ::testing::TempDir() + "command_runtime_test." + std::to_string(getpid());
    command.argv = {"/bin/sh", "-c", std::move(script) + " > " + path};
    const TaskEnd end = RunBlock(command);
    EXPECT_EQ(end.outcome, shm::TaskOutcome::kExited) << end.error;
    std::stringstream content;
    content << std::ifstream(path).rdbuf();
    unlink(path.c_str());
    return content.str();
  }

  CommandRuntime runtime_;
  worker_testing::FakeTaskContext context_;
};

TEST_F(CommandRuntimeTest, ReportsTheExitCode) {
  const TaskEnd end = Run({"sh", "-c", "exit 7"});
  EXPECT_EQ(end.outcome, shm::TaskOutcome::kExited);
  ASSERT_TRUE(WIFEXITED(end.wait_status));
  EXPECT_EQ(WEXITSTATUS(end.wait_status), 7);
  EXPECT_GE(end.cpu_ns, 0);
  EXPECT_GT(end.peak_rss_bytes, 0u);
}

TEST_F(CommandRuntimeTest, ReportsTheSignal) {
  const TaskEnd end = Run({"sh", "-c", "kill -TERM $$"});
  ASSERT_TRUE(WIFSIGNALED(end.wait_status));
  EXPECT_EQ(WTERMSIG(end.wait_status), SIGTERM);
}

TEST_F(CommandRuntimeTest, ATaskThatIsCancelledAlreadyIsNotStarted) {
  context_.cancelled = true;
  EXPECT_EQ(Run({"sh", "-c", "exit 7"}).outcome, shm::TaskOutcome::kCancelled);
}

// The daemon looked for processes to signal before there was one.
TEST_F(CommandRuntimeTest, ATaskThatIsCancelledWhileItStartsGetsTheSignal) {
  class CancelledAtTheSecondLook : public worker_testing::FakeTaskContext {
   public:
    bool Cancelled() const override { return looks_++ > 0; }

   private:
    mutable int looks_ = 0;
  };
  CancelledAtTheSecondLook context;
  zygote::CommandBlock command;
  command.argv = {"sleep", "1000"};
  const std::string payload = zygote::EncodeCommand(command);
  TaskView task;
  task.payload = payload;
  TaskEnd end;
  runtime_.Run(task, context, end);
  ASSERT_TRUE(WIFSIGNALED(end.wait_status));
  EXPECT_EQ(WTERMSIG(end.wait_status), SIGTERM);
}

TEST_F(CommandRuntimeTest, AMissingProgramIs127) {
  const TaskEnd end = Run({"no-such-program-at-all"});
  EXPECT_EQ(end.outcome, shm::TaskOutcome::kFailed);
  EXPECT_EQ(end.error, "cannot execute 'no-such-program-at-all': No such file or directory");
  EXPECT_EQ(WEXITSTATUS(end.wait_status), 127);
}

TEST_F(CommandRuntimeTest, AFileThatIsNoProgramIs126) {
  const TaskEnd end = Run({"/etc/passwd"});
  EXPECT_EQ(end.error, "cannot execute '/etc/passwd': Permission denied");
  EXPECT_EQ(WEXITSTATUS(end.wait_status), 126);
}

TEST_F(CommandRuntimeTest, AMissingDirectoryIsNamed) {
  zygote::CommandBlock command;
  command.argv = {"true"};
  command.cwd = "/nowhere/at/all";
  EXPECT_EQ(RunBlock(command).error,
            "cannot change to the directory '/nowhere/at/all': No such file or directory");
}

TEST_F(CommandRuntimeTest, RunsInTheDirectoryGiven) {
  zygote::CommandBlock command;
  command.cwd = "/usr";
  EXPECT_EQ(OutputOf(command, "pwd"), "/usr\n");
}

TEST_F(CommandRuntimeTest, VariablesAreSetOnTopOfTheWorkersOwn) {
  ASSERT_EQ(setenv("PREFORK_TEST_KEPT", "kept", 1), 0);
  ASSERT_EQ(setenv("PREFORK_TEST_REPLACED", "old", 1), 0);
  zygote::CommandBlock command;
  command.env = {{"PREFORK_TEST_REPLACED", "new"}};
  EXPECT_EQ(OutputOf(command, "echo $PREFORK_TEST_KEPT $PREFORK_TEST_REPLACED"), "kept new\n");
}

TEST_F(CommandRuntimeTest, ThePathIsTheTasksOwn) {
  zygote::CommandBlock command;
  command.argv = {"true"};
  command.env = {{"PATH", "/nowhere"}};
  EXPECT_EQ(WEXITSTATUS(RunBlock(command).wait_status), 127);
  command.env = {{"PATH", "/nowhere:/usr/bin"}};
  EXPECT_EQ(RunBlock(command).outcome, shm::TaskOutcome::kExited);
}

TEST_F(CommandRuntimeTest, StdinLargerThanAnyPipeArrivesWhole) {
  zygote::CommandBlock command;
  command.stdin_bytes = std::string(5'000'000, 'x');
  EXPECT_EQ(OutputOf(command, "wc -c"), "5000000\n");
}

TEST_F(CommandRuntimeTest, StdinIsEmptyWhenNoneIsGiven) { EXPECT_EQ(OutputOf({}, "wc -c"), "0\n"); }

TEST_F(CommandRuntimeTest, LimitsBindTheProgramAndNotTheWorker) {
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  zygote::CommandBlock command;
  command.limits = {{RLIMIT_NOFILE, 17}};
  EXPECT_EQ(OutputOf(command, "ulimit -n"), "17\n");
  rlimit after;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &after), 0);
  EXPECT_EQ(before.rlim_cur, after.rlim_cur);
}

TEST_F(CommandRuntimeTest, AnImpossibleLimitIsNamed) {
  zygote::CommandBlock command;
  command.argv = {"true"};
  command.limits = {{RLIMIT_NOFILE, uint64_t{1} << 60}};
  EXPECT_THAT(RunBlock(command).error,
              StartsWith("cannot set RLIMIT_NOFILE to 1152921504606846976: "));
}

TEST_F(CommandRuntimeTest, TheProgramHasDefaultSignalsAndItsOwnGroup) {
  signal(SIGPIPE, SIG_IGN);
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR1);
  sigprocmask(SIG_BLOCK, &blocked, nullptr);
  const std::string status = OutputOf({}, "grep -E '^Sig(Blk|Ign)' /proc/self/status");
  sigprocmask(SIG_UNBLOCK, &blocked, nullptr);
  signal(SIGPIPE, SIG_DFL);
  EXPECT_EQ(status, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
  EXPECT_EQ(OutputOf({}, "[ $(ps -o pgid= -p $$) = $$ ] && echo leader"), "leader\n");
}

TEST_F(CommandRuntimeTest, NoDescriptorOfTheWorkerReachesTheProgram) {
  // What the test's own parent left open does not count.
  for (int fd = 3; fd < 1024; ++fd) fcntl(fd, F_SETFD, FD_CLOEXEC);
  EXPECT_EQ(OutputOf({}, "ls /proc/self/fd | tr '\\n' ' '"), "0 1 2 3 ");  // 3 is ls reading
}

TEST_F(CommandRuntimeTest, AMalformedPayloadIsTheTasksError) {
  TaskView task;
  task.payload = "rubbish";
  TaskEnd end;
  runtime_.Run(task, context_, end);
  EXPECT_EQ(end.outcome, shm::TaskOutcome::kFailed);
  EXPECT_THAT(end.error, HasSubstr("command block: "));
}

}  // namespace
}  // namespace prefork::worker
