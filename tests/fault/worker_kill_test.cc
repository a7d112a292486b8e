// A worker is SIGKILLed at each of the points between which it makes a difference. Whatever the
// point: one end for each task, and only the one that was running is affected.
#include <signal.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fault/fault_bed.h"
#include "tests/fault/strike_file.h"

namespace prefork::fault {
namespace {

using client::EndCause;
using client::ExitReport;
using client::TaskHandle;
using client::TaskResult;
using client::TaskState;
using ::testing::HasSubstr;

class WorkerKillTest : public ::testing::Test {
 protected:
  StrikeFile strike_;
  FaultBed bed_{
      {.config = MisbehavingPool("p", 2, strike_.PoolSetting()), .flags = UseFaultyWorkers()}};

  // Kills the worker that reaches `step`, with one task that is affected at most; the neighbours
  // must succeed.
  TaskResult StrikeAt(const std::string& step) {
    const TaskHandle before = bed_.Submit("p", "echo", "before");
    EXPECT_TRUE(FaultBed::End(before).ok());
    strike_.Plan(absl::StrCat("kill@", step));
    const TaskHandle task = bed_.Submit("p", "echo", "the one");
    TaskResult result = FaultBed::End(task);
    EXPECT_TRUE(testing::WaitFor([&] { return strike_.HasStruck(); }));
    for (int i = 0; i < 20; ++i) bed_.ExpectWorks("p");
    bed_.ExpectWhole();
    EXPECT_EQ(bed_.Pool("p").worker_exits(), 1u);
    // One end, for everyone who asks.
    const absl::StatusOr<v1::Task> seen = bed_.api().GetTask(task.id());
    EXPECT_TRUE(seen.ok() && static_cast<int>(seen->state()) == static_cast<int>(result.state));
    return result;
  }
};

void ExpectKilled(const TaskResult& result) {
  ExpectEnd(result, TaskState::kCrashed, EndCause::kWorkerDied);
  ASSERT_NE(result.exit_report, nullptr);
  const ExitReport& report = *result.exit_report;
  EXPECT_EQ(report.signal, SIGKILL);
  EXPECT_EQ(report.signal_name, "SIGKILL");
  EXPECT_FALSE(report.exit_code.has_value());
  EXPECT_FALSE(report.out_of_memory);
  EXPECT_EQ(report.attempt, 1u);
  EXPECT_GT(report.pid, 0);
  EXPECT_THAT(report.detail, HasSubstr(absl::StrCat("worker p/", report.worker_index)));
  EXPECT_THAT(report.detail, HasSubstr(absl::StrCat("(pid ", report.pid, ")")));
  EXPECT_THAT(report.detail, HasSubstr("SIGKILL"));
}

TEST_F(WorkerKillTest, IdleWorkerIsReplacedAndNoTaskNotices) {
  const std::vector<v1::Worker> before = bed_.Workers("p");
  ASSERT_EQ(before.size(), 2u);
  ASSERT_EQ(kill(before[0].pid(), SIGKILL), 0);
  ASSERT_TRUE(testing::WaitFor([&] { return bed_.Pool("p").worker_exits() == 1; }));
  bed_.ExpectWhole();
  const std::vector<v1::Worker> after = bed_.Workers("p");
  ASSERT_EQ(after.size(), 2u);
  EXPECT_EQ(after[0].index(), before[0].index());
  EXPECT_GT(after[0].generation(), before[0].generation());
  EXPECT_EQ(after[1].pid(), before[1].pid());
  EXPECT_EQ(after[1].generation(), before[1].generation());
  for (int i = 0; i < 20; ++i) bed_.ExpectWorks("p");
}

TEST_F(WorkerKillTest, AfterPublishBeforeClaimTheTaskRunsElsewhere) {
  const TaskResult result = StrikeAt("before_claim");
  EXPECT_TRUE(result.ok()) << Describe(result);
  EXPECT_EQ(result.value, "the one");
}

TEST_F(WorkerKillTest, AfterTheClaimTheTaskCrashes) { ExpectKilled(StrikeAt("claimed")); }

TEST_F(WorkerKillTest, BetweenWritingAndPublishingTheResultTheTaskCrashes) {
  ExpectKilled(StrikeAt("result_written"));
}

TEST_F(WorkerKillTest, AfterPublishingBeforeTheWakeUpTheTaskHasSucceeded) {
  const TaskResult result = StrikeAt("result_published");
  EXPECT_TRUE(result.ok()) << Describe(result);
  EXPECT_EQ(result.value, "the one");
}

TEST_F(WorkerKillTest, AfterTheWakeUpTheTaskHasSucceeded) {
  EXPECT_TRUE(StrikeAt("result_announced").ok());
}

TEST_F(WorkerKillTest, AfterTheReleaseTheTaskHasSucceeded) {
  EXPECT_TRUE(StrikeAt("released").ok());
}

TEST_F(WorkerKillTest, WhileRunningOnlyThatTaskCrashes) {
  const TaskHandle victim = bed_.Submit("p", "hang");
  ASSERT_TRUE(bed_.WaitForState(victim.id(), v1::TASK_STATE_RUNNING));
  const TaskHandle neighbour = bed_.Submit("p", "wait_cancelled");
  ASSERT_TRUE(bed_.WaitForState(neighbour.id(), v1::TASK_STATE_RUNNING));
  constexpr int kQueued = 50;
  std::vector<TaskHandle> queued;
  queued.reserve(kQueued);
  for (int i = 0; i < kQueued; ++i) queued.push_back(bed_.Submit("p", "echo", absl::StrCat(i)));

  const absl::StatusOr<v1::Task> seen = bed_.api().GetTask(victim.id());
  ASSERT_TRUE(seen.ok()) << seen.status();
  ASSERT_EQ(kill(seen->worker_pid(), SIGKILL), 0);
  const TaskResult result = FaultBed::End(victim);
  ExpectKilled(result);
  EXPECT_EQ(result.exit_report->pid, seen->worker_pid());
  EXPECT_EQ(result.exit_report->worker_generation, seen->worker_generation());
  for (int i = 0; i < kQueued; ++i) {
    const TaskResult other = FaultBed::End(queued[i]);
    EXPECT_TRUE(other.ok()) << Describe(other);
    EXPECT_EQ(other.value, absl::StrCat(i));
  }
  EXPECT_FALSE(neighbour.done());
  neighbour.Cancel();
  ExpectEnd(FaultBed::End(neighbour), TaskState::kCancelled, EndCause::kCancelledByClient);
}

TEST_F(WorkerKillTest, ACrashedAttemptIsRetriedOnAnotherWorker) {
  strike_.Plan("kill@claimed");
  const TaskHandle task =
      bed_.Submit({.pool = "p",
                   .function = "attempt",
                   .retry = {.max_attempts = 3, .backoff = absl::Milliseconds(1)}});
  const TaskResult result = FaultBed::End(task);
  EXPECT_TRUE(result.ok()) << Describe(result);
  EXPECT_EQ(result.value, "2");
  const absl::StatusOr<v1::Task> seen = bed_.api().GetTask(task.id());
  ASSERT_TRUE(seen.ok()) << seen.status();
  ASSERT_EQ(seen->result().exit_report().earlier_size(), 1);
  EXPECT_EQ(seen->result().exit_report().earlier(0).signal(), SIGKILL);
  EXPECT_EQ(seen->result().exit_report().earlier(0).cause(), v1::END_CAUSE_WORKER_DIED);
}

TEST_F(WorkerKillTest, ATaskThatKeepsKillingWorkersStopsBeingRetried) {
  constexpr uint32_t kManyAttempts = 50;
  const TaskResult result = FaultBed::End(
      bed_.Submit({.pool = "p",
                   .function = "kill_self",
                   .payload = "9",
                   .retry = {.max_attempts = kManyAttempts, .backoff = absl::Milliseconds(1)}}));
  ExpectEnd(result, TaskState::kCrashed, EndCause::kWorkerDied);
  ASSERT_NE(result.exit_report, nullptr);
  EXPECT_EQ(result.exit_report->signal, SIGKILL);
  EXPECT_GT(result.exit_report->attempt, 1u);
  EXPECT_LT(result.exit_report->attempt, kManyAttempts);
  EXPECT_EQ(result.exit_report->earlier.size(), result.exit_report->attempt - 1);
}

// Many tasks are in a lane when its worker dies: one is affected, the others have their one end.
TEST_F(WorkerKillTest, AFullLaneLosesOneTask) {
  std::vector<TaskHandle> tasks;
  auto spec = bed_.client().Prepare({.pool = "p", .function = "echo"});
  ASSERT_TRUE(spec.ok()) << spec.status();
  for (int round = 0; round < 5; ++round) {
    strike_.Plan("kill@claimed");
    for (int i = 0; i < 2000; ++i) {
      auto task = spec->Submit(absl::StrCat(i));
      ASSERT_TRUE(task.ok()) << task.status();
      tasks.push_back(*task);
    }
    ASSERT_TRUE(testing::WaitFor([&] { return strike_.HasStruck(); }));
  }
  int crashed = 0;
  for (const TaskHandle& task : tasks) {
    const TaskResult result = FaultBed::End(task);
    if (result.ok()) continue;
    ++crashed;
    ExpectKilled(result);
  }
  EXPECT_EQ(crashed, 5);
}

}  // namespace
}  // namespace prefork::fault
