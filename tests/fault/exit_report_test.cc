// How a task's process ended is told exactly: the code or the signal, of whom, and its last words.
#include <signal.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fault/fault_bed.h"

namespace prefork::fault {
namespace {

using client::EndCause;
using client::TaskHandle;
using client::TaskResult;
using client::TaskState;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class ExitReportTest : public ::testing::Test {
 protected:
  FaultBed bed_{{.config = MisbehavingPool("native", 2) + CommandPool("command", 2)}};

  TaskResult Run(const std::string& function, const std::string& payload = "",
                 bool dedicated = false) {
    return FaultBed::End(bed_.Submit(
        {.pool = "native", .function = function, .payload = payload, .dedicated = dedicated}));
  }
  TaskResult RunShell(const std::string& script) {
    return FaultBed::End(bed_.Submit(Shell(script)));
  }
  static client::TaskSpec Shell(const std::string& script) {
    return {.pool = "command", .command = client::Command{.argv = {"sh", "-c", script}}};
  }

  static void ExpectExited(const TaskResult& result, TaskState state, EndCause cause, int code) {
    ExpectEnd(result, state, cause);
    ASSERT_NE(result.exit_report, nullptr);
    EXPECT_EQ(result.exit_report->exit_code, code) << Describe(result);
    EXPECT_FALSE(result.exit_report->signal.has_value());
    EXPECT_THAT(result.exit_report->detail, HasSubstr(absl::StrCat("exited with code ", code)));
    EXPECT_GT(result.exit_report->pid, 0);
  }
  static void ExpectSignalled(const TaskResult& result, TaskState state, EndCause cause, int signal,
                              const std::string& name) {
    ExpectEnd(result, state, cause);
    ASSERT_NE(result.exit_report, nullptr);
    EXPECT_EQ(result.exit_report->signal, signal) << Describe(result);
    EXPECT_EQ(result.exit_report->signal_name, name);
    EXPECT_FALSE(result.exit_report->exit_code.has_value());
    EXPECT_THAT(result.exit_report->detail, HasSubstr(name));
  }
};

TEST_F(ExitReportTest, FunctionThatExits) {
  ExpectExited(Run("exit", "7"), TaskState::kCrashed, EndCause::kWorkerDied, 7);
}

TEST_F(ExitReportTest, FunctionThatExitsWithZeroHasNotSucceeded) {
  ExpectExited(Run("exit", "0"), TaskState::kCrashed, EndCause::kWorkerDied, 0);
}

TEST_F(ExitReportTest, FunctionThatAborts) {
  const TaskResult result = Run("abort");
  ExpectSignalled(result, TaskState::kCrashed, EndCause::kWorkerDied, SIGABRT, "SIGABRT");
  EXPECT_THAT(result.exit_report->stderr_tail, HasSubstr("about to abort\n"));
}

TEST_F(ExitReportTest, FunctionThatSegfaults) {
  ExpectSignalled(Run("segfault"), TaskState::kCrashed, EndCause::kWorkerDied, SIGSEGV, "SIGSEGV");
}

TEST_F(ExitReportTest, EverySignalThatEndsAProcessIsNamed) {
  for (const auto& [signal, name] : {std::pair{SIGHUP, "SIGHUP"},
                                     {SIGINT, "SIGINT"},
                                     {SIGKILL, "SIGKILL"},
                                     {SIGPIPE, "SIGPIPE"},
                                     {SIGUSR1, "SIGUSR1"},
                                     {SIGXCPU, "SIGXCPU"}}) {
    ExpectSignalled(Run("kill_self", absl::StrCat(signal), /*dedicated=*/true), TaskState::kCrashed,
                    EndCause::kWorkerDied, signal, name);
  }
}

TEST_F(ExitReportTest, DedicatedProcessHasARealExitCode) {
  ExpectExited(Run("exit", "7", true), TaskState::kFailed, EndCause::kTaskError, 7);
}

TEST_F(ExitReportTest, DedicatedProcessThatAborts) {
  const TaskResult result = Run("abort", "", true);
  ExpectSignalled(result, TaskState::kCrashed, EndCause::kWorkerDied, SIGABRT, "SIGABRT");
  EXPECT_THAT(result.exit_report->stderr_tail, HasSubstr("about to abort\n"));
}

TEST_F(ExitReportTest, CommandThatExits) {
  const TaskResult result = RunShell("echo last words >&2; exit 7");
  ExpectExited(result, TaskState::kFailed, EndCause::kTaskError, 7);
  EXPECT_EQ(result.exit_report->stderr_tail, "last words\n");
}

TEST_F(ExitReportTest, CommandThatAborts) {
  const TaskResult result = RunShell("echo giving up >&2; kill -ABRT $$");
  ExpectSignalled(result, TaskState::kFailed, EndCause::kTaskError, SIGABRT, "SIGABRT");
  EXPECT_EQ(result.exit_report->stderr_tail, "giving up\n");
}

TEST_F(ExitReportTest, CommandThatSegfaults) {
  ExpectSignalled(RunShell("kill -SEGV $$"), TaskState::kFailed, EndCause::kTaskError, SIGSEGV,
                  "SIGSEGV");
}

TEST_F(ExitReportTest, CommandThatDoesNotExist) {
  const TaskResult result = FaultBed::End(bed_.Submit(
      {.pool = "command", .command = client::Command{.argv = {"/nonexistent/program"}}}));
  EXPECT_EQ(result.state, TaskState::kFailed) << Describe(result);
  EXPECT_THAT(result.error, HasSubstr("/nonexistent/program"));
}

TEST_F(ExitReportTest, OnlyTheEndOfALongStderrIsShown) {
  const TaskResult result = RunShell(
      "i=0; while [ $i -lt 5000 ]; do echo line $i >&2; i=$((i+1)); done; echo THE END >&2; exit "
      "1");
  ExpectExited(result, TaskState::kFailed, EndCause::kTaskError, 1);
  EXPECT_LE(result.exit_report->stderr_tail.size(), 4096u);
  EXPECT_GT(result.exit_report->stderr_tail.size(), 2048u);
  EXPECT_THAT(result.exit_report->stderr_tail, EndsWith("line 4999\nTHE END\n"));
}

TEST_F(ExitReportTest, WorkerThatRunsACommandIsKilledFromOutside) {
  const TaskHandle task = bed_.Submit(Shell("echo before >&2; sleep 1000"));
  ASSERT_TRUE(testing::WaitFor([&] {
    const absl::StatusOr<v1::Task> seen = bed_.api().GetTask(task.id());
    return seen.ok() && seen->stderr_bytes() > 0;
  }));
  const absl::StatusOr<v1::Task> seen = bed_.api().GetTask(task.id());
  ASSERT_TRUE(seen.ok()) << seen.status();
  ASSERT_EQ(kill(seen->worker_pid(), SIGKILL), 0);
  const TaskResult result = FaultBed::End(task);
  ExpectSignalled(result, TaskState::kCrashed, EndCause::kWorkerDied, SIGKILL, "SIGKILL");
  EXPECT_EQ(result.exit_report->pid, seen->worker_pid());
  EXPECT_EQ(result.exit_report->stderr_tail, "before\n");
}

TEST_F(ExitReportTest, AClientsOwnSignalIsCalledThat) {
  const TaskHandle task = bed_.Submit("native", "hang");
  ASSERT_TRUE(bed_.WaitForState(task.id(), v1::TASK_STATE_RUNNING));
  ASSERT_TRUE(bed_.api().SignalTask(task.id(), SIGUSR1).ok());
  const TaskResult result = FaultBed::End(task);
  ExpectSignalled(result, TaskState::kCrashed, EndCause::kWorkerDied, SIGUSR1, "SIGUSR1");
  EXPECT_THAT(result.exit_report->detail, HasSubstr("a client had that signal sent"));
}

TEST_F(ExitReportTest, InvalidUtf8OnStderrDoesNoHarm) {
  const TaskResult result = RunShell("printf 'bad \\377\\376 bytes\\n' >&2; exit 3");
  ExpectExited(result, TaskState::kFailed, EndCause::kTaskError, 3);
  EXPECT_THAT(result.exit_report->stderr_tail, StartsWith("bad "));
  EXPECT_THAT(result.exit_report->stderr_tail, EndsWith(" bytes\n"));
}

}  // namespace
}  // namespace prefork::fault
