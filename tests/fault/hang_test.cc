// What hangs is not dead: a stopped worker, a stopped or a killed zygote. Nothing is lost by them,
// and a hang can always be ended.
#include <signal.h>

#include <string>
#include <vector>

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
using ::testing::HasSubstr;

class HangTest : public ::testing::Test {
 protected:
  FaultBed bed_{{.config = MisbehavingPool("p", 2)}};

  // The pid of the worker that runs `task`.
  pid_t WorkerOf(const TaskHandle& task) {
    EXPECT_TRUE(bed_.WaitForState(task.id(), v1::TASK_STATE_RUNNING));
    const absl::StatusOr<v1::Task> seen = bed_.api().GetTask(task.id());
    EXPECT_TRUE(seen.ok()) << seen.status();
    return seen.ok() ? seen->worker_pid() : -1;
  }
  static void Stop(pid_t worker) {
    EXPECT_EQ(kill(worker, SIGSTOP), 0);
    EXPECT_TRUE(testing::WaitFor([&] { return ProcessState(worker) == 'T'; }));
  }
  pid_t Stop(const TaskHandle& task) {
    const pid_t worker = WorkerOf(task);
    Stop(worker);
    return worker;
  }
  // A task that keeps one worker that is not stopped.
  TaskHandle Block() {
    TaskHandle task = bed_.Submit("p", "wait_cancelled");
    EXPECT_TRUE(bed_.WaitForState(task.id(), v1::TASK_STATE_RUNNING));
    return task;
  }
  bool WaitForNewZygote(pid_t old) {
    return testing::WaitFor(
        [&] {
          const pid_t pid = bed_.Pool("p").zygote_pid();
          return pid != 0 && pid != old;
        },
        kPatience);
  }
};

TEST_F(HangTest, AStoppedWorkerIsNotCalledDead) {
  const TaskHandle task = bed_.Submit("p", "spin_us", "1000");
  FaultBed::End(task);
  const TaskHandle stopped = bed_.Submit("p", "wait_cancelled");
  const pid_t worker = Stop(stopped);
  for (int i = 0; i < 200; ++i) bed_.ExpectWorks("p");
  EXPECT_FALSE(stopped.done());
  EXPECT_EQ(bed_.Pool("p").worker_exits(), 0u);
  EXPECT_EQ(ProcessState(worker), 'T');
  ASSERT_EQ(kill(worker, SIGCONT), 0);
  stopped.Cancel();
  ExpectEnd(FaultBed::End(stopped), TaskState::kCancelled, EndCause::kCancelledByClient);
}

// Also an entry that a stopped worker was given while it was idle.
TEST_F(HangTest, AStoppedIdleWorkerHoldsNoTaskUpAndServesAgain) {
  const pid_t stopped = bed_.Workers("p").front().pid();
  Stop(stopped);
  for (int i = 0; i < 20; ++i) bed_.ExpectWorks("p");
  // Now it is the only idle one: the task is tried there, and waits for the other.
  TaskHandle blocker = Block();
  const TaskHandle task = bed_.Submit("p", "echo", "late");
  ASSERT_TRUE(bed_.WaitForState(task.id(), v1::TASK_STATE_DISPATCHED));
  ASSERT_TRUE(bed_.WaitForState(task.id(), v1::TASK_STATE_QUEUED));
  blocker.Cancel();
  EXPECT_EQ(FaultBed::End(task).value, "late");
  EXPECT_EQ(bed_.Pool("p").worker_exits(), 0u);
  EXPECT_THAT(bed_.daemon().Log(),
              HasSubstr(absl::StrCat("(pid ", stopped, ") did not take task")));
  ASSERT_EQ(kill(stopped, SIGCONT), 0);
  blocker = Block();
  const TaskHandle again = bed_.Submit("p", "wait_cancelled");
  EXPECT_EQ(WorkerOf(again), stopped);
  again.Cancel();
  blocker.Cancel();
}

TEST_F(HangTest, WhileAllWorkersAreStoppedTasksAreQueued) {
  const std::vector<v1::Worker> workers = bed_.Workers("p");
  for (const v1::Worker& worker : workers) Stop(worker.pid());
  constexpr int kTasks = 20;
  std::vector<TaskHandle> tasks;
  tasks.reserve(kTasks);
  for (int i = 0; i < kTasks; ++i) tasks.push_back(bed_.Submit("p", "echo", absl::StrCat(i)));
  EXPECT_TRUE(testing::WaitFor([&] { return bed_.Pool("p").tasks_queued() == kTasks; }, kPatience));
  for (const v1::Worker& worker : workers) ASSERT_EQ(kill(worker.pid(), SIGCONT), 0);
  for (int i = 0; i < kTasks; ++i) EXPECT_EQ(FaultBed::End(tasks[i]).value, absl::StrCat(i));
  EXPECT_EQ(bed_.Pool("p").worker_exits(), 0u);
}

TEST_F(HangTest, CancelEndsATaskInAStoppedWorker) {
  const TaskHandle task =
      bed_.Submit({.pool = "p", .function = "wait_cancelled", .grace = absl::Milliseconds(50)});
  const pid_t worker = Stop(task);
  task.Cancel();
  ExpectEnd(FaultBed::End(task), TaskState::kCancelled, EndCause::kCancelledByClient);
  EXPECT_FALSE(IsAlive(worker));
}

TEST_F(HangTest, TimeoutEndsATaskInAStoppedWorker) {
  const TaskHandle task = bed_.Submit({.pool = "p",
                                       .function = "wait_cancelled",
                                       .timeout = absl::Seconds(1),
                                       .grace = absl::Milliseconds(50)});
  const pid_t worker = Stop(task);
  const TaskResult result = FaultBed::End(task);
  ExpectEnd(result, TaskState::kTimedOut, EndCause::kTimeout);
  EXPECT_THAT(result.exit_report->detail, HasSubstr("timeout of 1s"));
  EXPECT_FALSE(IsAlive(worker));
}

// Tasks that wait in the lane of a worker that hangs run elsewhere.
TEST_F(HangTest, NothingWaitsBehindAHangingTask) {
  const TaskHandle task = bed_.Submit("p", "ignore_term");
  Stop(task);
  constexpr int kOthers = 500;
  std::vector<TaskHandle> others;
  others.reserve(kOthers);
  for (int i = 0; i < kOthers; ++i) others.push_back(bed_.Submit("p", "noop"));
  for (const TaskHandle& other : others) EXPECT_TRUE(FaultBed::End(other).ok());
  task.Cancel(/*force=*/true);
  ExpectEnd(FaultBed::End(task), TaskState::kCancelled, EndCause::kCancelledByClient);
}

TEST_F(HangTest, ADeadZygotesWorkersFinishWhatTheyRun) {
  const pid_t zygote = bed_.Pool("p").zygote_pid();
  const TaskHandle task = bed_.Submit("p", "spin_us", "1000000");
  const pid_t worker = WorkerOf(task);
  ASSERT_EQ(kill(zygote, SIGKILL), 0);
  ASSERT_TRUE(WaitForNewZygote(zygote));
  EXPECT_TRUE(task.done() || IsAlive(worker));
  const TaskResult result = FaultBed::End(task);
  EXPECT_TRUE(result.ok()) << Describe(result);
  for (int i = 0; i < 20; ++i) bed_.ExpectWorks("p");
}

TEST_F(HangTest, TheExitStatusOfAnAdoptedWorkerIsNotLost) {
  const pid_t zygote = bed_.Pool("p").zygote_pid();
  const TaskHandle task = bed_.Submit("p", "hang");
  const pid_t worker = WorkerOf(task);
  ASSERT_EQ(kill(zygote, SIGKILL), 0);
  ASSERT_TRUE(WaitForNewZygote(zygote));
  ASSERT_TRUE(IsAlive(worker));
  ASSERT_EQ(kill(worker, SIGUSR2), 0);
  const TaskResult result = FaultBed::End(task);
  ExpectEnd(result, TaskState::kCrashed, EndCause::kWorkerDied);
  EXPECT_EQ(result.exit_report->signal, SIGUSR2) << Describe(result);
}

TEST_F(HangTest, ZygoteAndWorkerDieTogether) {
  const pid_t zygote = bed_.Pool("p").zygote_pid();
  const TaskHandle task = bed_.Submit("p", "hang");
  const pid_t worker = WorkerOf(task);
  ASSERT_EQ(kill(zygote, SIGKILL), 0);
  ASSERT_EQ(kill(worker, SIGKILL), 0);
  const TaskResult result = FaultBed::End(task);
  ExpectEnd(result, TaskState::kCrashed, EndCause::kWorkerDied);
  ASSERT_TRUE(WaitForNewZygote(zygote));
  for (int i = 0; i < 20; ++i) bed_.ExpectWorks("p");
}

TEST_F(HangTest, AStoppedZygoteIsReplacedWhenItIsNeeded) {
  const pid_t zygote = bed_.Pool("p").zygote_pid();
  ASSERT_EQ(kill(zygote, SIGSTOP), 0);
  for (int i = 0; i < 20; ++i) bed_.ExpectWorks("p");  // nobody needs it yet
  EXPECT_EQ(bed_.Pool("p").zygote_pid(), zygote);
  const TaskHandle task = bed_.Submit("p", "hang");
  ASSERT_EQ(kill(WorkerOf(task), SIGKILL), 0);
  const TaskResult result = FaultBed::End(task);
  ExpectEnd(result, TaskState::kCrashed, EndCause::kWorkerDied);
  EXPECT_EQ(result.exit_report->signal, SIGKILL) << Describe(result);
  ASSERT_TRUE(WaitForNewZygote(zygote));
  EXPECT_FALSE(IsAlive(zygote));
}

TEST_F(HangTest, ZygoteKilledAgainAndAgain) {
  for (int round = 0; round < 3; ++round) {
    const pid_t zygote = bed_.Pool("p").zygote_pid();
    ASSERT_EQ(kill(zygote, SIGKILL), 0);
    bed_.ExpectWorks("p");
    ASSERT_TRUE(WaitForNewZygote(zygote));
  }
}

}  // namespace
}  // namespace prefork::fault
