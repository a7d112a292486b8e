#include "client/cli/format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace prefork::cli {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

TEST(Format, NamesStatesAsTheApiDoesInSmallLetters) {
  EXPECT_EQ(StateName(v1::TASK_STATE_TIMED_OUT), "timed_out");
  EXPECT_EQ(CauseName(v1::END_CAUSE_OUT_OF_MEMORY), "out_of_memory");
  EXPECT_EQ(PoolStateName(v1::POOL_STATE_DEGRADED), "degraded");
  EXPECT_EQ(WorkerExitReasonName(v1::WORKER_EXIT_REASON_CRASHED), "crashed");
  EXPECT_EQ(StateName(static_cast<v1::TaskState>(77)), "unknown(77)");
}

TEST(Format, ReadsStatesBackAndKnowsTheNearest) {
  EXPECT_EQ(*ParseTaskState("timed_out"), v1::TASK_STATE_TIMED_OUT);
  EXPECT_EQ(*ParseTaskState("RUNNING"), v1::TASK_STATE_RUNNING);
  const absl::Status status = ParseTaskState("runing").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("did you mean 'running'?"));
}

TEST(Format, WritesDurationsInTwoUnits) {
  EXPECT_EQ(ShortDuration(absl::ZeroDuration()), "0s");
  EXPECT_EQ(ShortDuration(absl::Microseconds(40)), "40us");
  EXPECT_EQ(ShortDuration(absl::Microseconds(1200)), "1.2ms");
  EXPECT_EQ(ShortDuration(absl::Seconds(3.4)), "3.4s");
  EXPECT_EQ(ShortDuration(absl::Seconds(125)), "2m05s");
  EXPECT_EQ(ShortDuration(absl::Minutes(70)), "1h10m");
  EXPECT_EQ(ShortDuration(absl::Hours(76)), "3d04h");
}

TEST(Format, WritesSizesInPowersOf1024) {
  EXPECT_EQ(ShortBytes(0), "0B");
  EXPECT_EQ(ShortBytes(1023), "1023B");
  EXPECT_EQ(ShortBytes(1536), "1.5KiB");
  EXPECT_EQ(ShortBytes(uint64_t{5} << 30), "5.0GiB");
}

TEST(Format, CutsSummariesAtACharacter) {
  v1::TaskSpec spec;
  spec.set_function("square");
  EXPECT_EQ(Summary(spec, 20), "square()");
  spec.mutable_command()->add_argv("echo");
  spec.mutable_command()->add_argv("\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4");
  EXPECT_EQ(Summary(spec, 9), "echo ...");
}

struct ExitCase {
  const char* name;
  v1::TaskState state;
  int exit_code;
  int signal;
  int expected;
};
class TaskExitCodeTest : public ::testing::TestWithParam<ExitCase> {};

TEST_P(TaskExitCodeTest, IsWhatAShellWouldSay) {
  v1::TaskResult result;
  result.set_state(GetParam().state);
  if (GetParam().exit_code >= 0) result.mutable_exit_report()->set_exit_code(GetParam().exit_code);
  if (GetParam().signal > 0) result.mutable_exit_report()->set_signal(GetParam().signal);
  EXPECT_EQ(TaskExitCode(result), GetParam().expected);
}

INSTANTIATE_TEST_SUITE_P(
    All, TaskExitCodeTest,
    ::testing::Values(ExitCase{"success", v1::TASK_STATE_SUCCEEDED, 0, 0, 0},
                      ExitCase{"own_code", v1::TASK_STATE_FAILED, 7, 0, 7},
                      ExitCase{"function_error", v1::TASK_STATE_FAILED, -1, 0, 1},
                      ExitCase{"signal", v1::TASK_STATE_FAILED, -1, 15, 143},
                      ExitCase{"crash", v1::TASK_STATE_CRASHED, -1, 9, 137},
                      ExitCase{"crash_with_code_0", v1::TASK_STATE_CRASHED, 0, 0, 1},
                      ExitCase{"timed_out", v1::TASK_STATE_TIMED_OUT, -1, 15, 124},
                      ExitCase{"cancelled_queued", v1::TASK_STATE_CANCELLED, -1, 0, 1}),
    [](const auto& info) { return info.param.name; });

TEST(Format, LaysOutAnExitReportWithItsCauseAndTheEndOfStderr) {
  v1::ExitReport report;
  report.set_cause(v1::END_CAUSE_WORKER_DIED);
  report.set_detail("worker default/0 (pid 4711) was killed by signal 9 (SIGKILL)");
  report.set_signal(9);
  report.set_signal_name("SIGKILL");
  report.set_stderr_tail("one\ntwo\n");
  report.add_earlier()->set_detail("the first try");
  const auto lines = ReportLines(report);
  EXPECT_THAT(lines, Contains(HasSubstr("worker_died")));
  EXPECT_THAT(lines, Contains(HasSubstr("9 (SIGKILL)")));
  EXPECT_THAT(lines, Contains("  | two"));
  EXPECT_THAT(lines, Contains(HasSubstr("the first try")));
}

}  // namespace
}  // namespace prefork::cli
