// What happens between decisions and lanes, step by step.
#include <csignal>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/engine/engine_impl.h"
#include "tests/server/engine/engine_pass_bed.h"

namespace prefork::engine {
namespace {

using scheduler::EndCause;
using scheduler::TaskState;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

class EnginePassTest : public EnginePassBed {};

TEST_F(EnginePassTest, ATaskGoesDownAndItsResultComesUp) {
  FakeWorker& worker = native().AddWorker();
  const TaskId id = Submit();
  EXPECT_EQ(Info(id).state, TaskState::kDispatched);
  EXPECT_EQ(Claim(worker), id);
  worker.Finish(id, "value");
  Pass();
  EXPECT_EQ(Info(id).state, TaskState::kSucceeded);
  EXPECT_EQ(Info(id).value.view(), "value");
  EXPECT_EQ(native().tasks_done, 1u);
}

TEST_F(EnginePassTest, AResultWrittenBeforeTheDeathCounts) {
  FakeWorker& worker = native().AddWorker();
  const TaskId id = Submit();
  Claim(worker);
  worker.Finish(id);
  native().EndWorker(worker, Killed(SIGKILL, pool::ExitReason::kCrashed));
  Pass();
  EXPECT_EQ(Info(id).state, TaskState::kSucceeded);
}

TEST_F(EnginePassTest, ATaskPublishedAndNotClaimedSurvivesItsWorker) {
  FakeWorker& first = native().AddWorker();
  const TaskId id = Submit();
  native().EndWorker(first, Killed(SIGKILL, pool::ExitReason::kCrashed));
  Pass();
  EXPECT_EQ(Info(id).state, TaskState::kQueued);
  FakeWorker& second = native().AddWorker();
  Pass();
  EXPECT_EQ(Claim(second), id);
  second.Finish(id);
  Pass();
  EXPECT_EQ(Info(id).state, TaskState::kSucceeded);
  EXPECT_EQ(Info(id).attempt, 1u);
  EXPECT_THAT(Info(id).earlier_attempts, IsEmpty());
}

TEST_F(EnginePassTest, AClaimedTaskEndsWithItsWorkerAndTheProvenCause) {
  FakeWorker& worker = native().AddWorker();
  const TaskId id = Submit();
  Claim(worker);
  pool::WorkerExit exit = Killed(SIGKILL, pool::ExitReason::kOutOfMemory);
  exit.out_of_memory = true;
  native().EndWorker(worker, exit);
  Pass();
  const TaskInfo task = Info(id);
  EXPECT_EQ(task.state, TaskState::kCrashed);
  EXPECT_EQ(task.exit_report->cause, EndCause::kOutOfMemory);
  EXPECT_TRUE(task.exit_report->out_of_memory);
}

TEST_F(EnginePassTest, NonsenseKillsTheWorkerAndIsTheCauseOfItsTasksEnd) {
  FakeWorker& worker = native().AddWorker();
  const TaskId id = Submit();
  Claim(worker);
  worker.Write(shm::RecordKind::kStarted, shm::StartedRecord{id + 1, 1});
  Pass();
  EXPECT_EQ(worker.kill_reason, pool::ExitReason::kProtocolViolation);
  EXPECT_THAT(worker.kill_detail, HasSubstr("a record about task"));
  const TaskId next = Submit();
  EXPECT_EQ(Info(next).state, TaskState::kQueued) << "a poisoned worker gets nothing more";
  pool::WorkerExit exit = Killed(SIGKILL, worker.kill_reason);
  exit.detail = worker.kill_detail;
  native().EndWorker(worker, exit);
  Pass();
  const TaskInfo task = Info(id);
  EXPECT_EQ(task.exit_report->cause, EndCause::kProtocolViolation);
  EXPECT_THAT(task.exit_report->detail, HasSubstr("broke the lane's protocol and was killed"));
  FakeWorker& healthy = native().AddWorker();
  Pass();
  EXPECT_EQ(Claim(healthy), next);
}

TEST_F(EnginePassTest, AWorkerOfFunctionsIsSignalledItselfAndNotUsedAgain) {
  FakeWorker& worker = native().AddWorker();
  const TaskId id = Submit();
  Claim(worker);
  worker.Write(shm::RecordKind::kStarted, shm::StartedRecord{id, 1});
  Pass();
  ASSERT_TRUE(engine_->Cancel(kRoot, id, false).ok());
  Pass();
  EXPECT_THAT(worker.signals, ElementsAre(Pair(SIGTERM, true)));
  EXPECT_EQ(worker.guest().status().cancelled_task.load(), id);
  EXPECT_EQ(worker.expected_end, pool::ExitReason::kTaskStopped);
  // The function was about to end anyway; the signal is still on its way to the process.
  worker.Finish(id);
  Pass();
  const TaskId next = Submit();
  EXPECT_EQ(Info(next).state, TaskState::kQueued);
  EXPECT_THAT(native().retired, ElementsAre(0u));
}

TEST_F(EnginePassTest, AWorkerOfProgramsIsLeftAloneWhenItsProgramIsStopped) {
  FakeWorkerPool& pool = *pools_["command"];
  FakeWorker& worker = pool.AddWorker();
  TaskOptions options;
  options.pool = "command";
  options.command.emplace().argv = {"sleep", "9"};
  const TaskId id = Submit(options);
  Claim(worker);
  worker.Write(shm::RecordKind::kStarted, shm::StartedRecord{id, 1});
  Pass();
  ASSERT_TRUE(engine_->Cancel(kRoot, id, false).ok());
  Pass();
  EXPECT_THAT(worker.signals, ElementsAre(Pair(SIGTERM, false)));
  EXPECT_EQ(worker.kill_reason, pool::ExitReason::kNone);
  Advance(absl::Seconds(6));
  EXPECT_EQ(worker.kill_reason, pool::ExitReason::kTaskStopped) << "after the grace period";
  EXPECT_THAT(pool.retired, IsEmpty());
}

TEST_F(EnginePassTest, ATaskThatAnIdleWorkerDoesNotTakeRunsElsewhere) {
  FakeWorker& sleeper = native().AddWorker();
  const TaskId id = Submit();
  FakeWorker& other = native().AddWorker();
  Advance(absl::Milliseconds(50));
  EXPECT_EQ(Claim(sleeper), 0u);
  EXPECT_EQ(Claim(other), id);
  other.Finish(id);
  Pass();
  EXPECT_EQ(Info(id).state, TaskState::kSucceeded);
  EXPECT_EQ(sleeper.kill_reason, pool::ExitReason::kNone) << sleeper.kill_detail;
}

TEST_F(EnginePassTest, OutputIsCreditedOnlyToTasksThatTheWorkerWasGiven) {
  FakeWorker& first = native().AddWorker();
  FakeWorker& second = native().AddWorker();
  const TaskId a = Submit();
  const TaskId b = Submit();
  ASSERT_NE(Info(a).worker, Info(b).worker);
  FakeWorker& of_a = Info(a).worker->first == 0 ? first : second;
  native().observer().OnOutput(of_a, 1, a, "mine");
  native().observer().OnOutput(of_a, 1, b, "forged");
  EXPECT_EQ(Info(a).stdout_bytes, 4u);
  EXPECT_EQ(Info(b).stdout_bytes, 0u);
}

TEST_F(EnginePassTest, ADedicatedTaskTellsWhyItsProcessCouldNotBeStarted) {
  TaskOptions options;
  options.dedicated = true;
  const TaskId id = Submit(options);
  ASSERT_THAT(native().dedicated_asked, ElementsAre(id));
  native().observer().OnDedicatedFailed(id, absl::ResourceExhaustedError("fork: EAGAIN"));
  Pass();
  EXPECT_EQ(Info(id).exit_report->cause, EndCause::kStartFailed);
  EXPECT_THAT(Info(id).exit_report->detail, HasSubstr("fork: EAGAIN"));
}

TEST_F(EnginePassTest, AFinishedTaskIsForgottenWhenItsTimeIsOver) {
  FakeWorker& worker = native().AddWorker();
  TaskOptions options;
  options.result_ttl = absl::Seconds(30);
  const TaskId id = Submit(options);
  Claim(worker);
  worker.Finish(id);
  Pass();
  Advance(absl::Seconds(29));
  EXPECT_TRUE(engine_->Get(kRoot, id).ok());
  Advance(absl::Seconds(2));
  EXPECT_EQ(engine_->Get(kRoot, id).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(EnginePassTest, APredecessorForgottenBetweenTwoBatchesOfAPassIsNotFollowed) {
  FakeWorker& worker = native().AddWorker();
  const TaskId first = Submit();
  Claim(worker);
  worker.Finish(first);
  Pass();
  TaskOptions after;
  after.after = {first};
  const TaskSubmission task = Function("native", after);
  ASSERT_TRUE(engine_->Submit(kRoot, task).ok());
  TaskFilter filter;
  filter.ids = {first};
  ASSERT_TRUE(engine_->Delete(kRoot, filter).ok());
  EXPECT_EQ(engine_->Submit(kRoot, task).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace prefork::engine
