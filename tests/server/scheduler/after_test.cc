// Tasks that run after others.

#include <cstdint>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/scheduler/scheduler.h"
#include "server/scheduler/types.h"
#include "tests/server/scheduler/scheduler_fixture.h"

namespace prefork::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class AfterTest : public SchedulerTest {
 protected:
  void SubmitAfter(TaskSlot slot, std::vector<TaskSlot> after) {
    Submit(slot, TaskSpec{.after = std::move(after)});
  }
};

TEST_F(AfterTest, TaskWaitsUntilAllItsPredecessorsSucceeded) {
  AddWorker(10);
  Submit(1);
  Submit(2);
  SubmitAfter(3, {1, 2, 2});
  EXPECT_THAT(Take(), ElementsAre("dispatch 1 w10 notify"));
  EXPECT_EQ(state(3), TaskState::kWaiting);
  Finish(10, 1);
  EXPECT_THAT(Take(), ElementsAre("state 1 SUCCEEDED COMPLETED", "dispatch 2 w10 notify"));
  Finish(10, 2);
  EXPECT_THAT(Take(), ElementsAre("state 2 SUCCEEDED COMPLETED", "dispatch 3 w10 notify"));
  EXPECT_EQ(scheduler_.footprint().dependencies, 0U);
}

TEST_F(AfterTest, SuccessorsComeInTheOrderOfTheirSubmits) {
  AddWorker(10);
  Submit(1);
  SubmitAfter(2, {1});
  SubmitAfter(3, {1});
  Take();
  Finish(10, 1);
  EXPECT_THAT(Take(), ElementsAre("state 1 SUCCEEDED COMPLETED", "dispatch 2 w10 notify"));
}

TEST_F(AfterTest, EveryEndOtherThanSuccessCancelsTheSuccessors) {
  for (const EndCause cause : {EndCause::kTaskError, EndCause::kWorkerDied}) {
    const WorkerKey worker = 10 + static_cast<WorkerKey>(cause);
    AddWorker(worker);
    Submit(1);
    SubmitAfter(2, {1});
    SubmitAfter(3, {2});
    Take();
    Die(worker, 1, cause);
    Take();
    EXPECT_EQ(state(2), TaskState::kCancelled);
    EXPECT_EQ(state(3), TaskState::kCancelled);
    for (const TaskSlot slot : {1, 2, 3}) {
      scheduler_.ForgetTask(slot);
    }
  }
  Submit(1);
  SubmitAfter(2, {1});
  SubmitAfter(3, {2});
  Cancel(1);
  EXPECT_THAT(Take(), ElementsAre("state 1 CANCELLED CANCELLED_BY_CLIENT",
                                  "state 2 CANCELLED DEPENDENCY_FAILED",
                                  "state 3 CANCELLED DEPENDENCY_FAILED"));
}

TEST_F(AfterTest, RetryOfAPredecessorKeepsTheSuccessorsWaiting) {
  AddWorker(10);
  Submit(1, TaskSpec{.retry = {.max_attempts = 2, .on = kRetryOnTaskError, .backoff_ns = 0}});
  SubmitAfter(2, {1});
  Take();
  Finish(10, 1, EndCause::kTaskError);
  Take();
  EXPECT_EQ(state(2), TaskState::kWaiting);
  Finish(10, 1);
  EXPECT_THAT(Take(), ElementsAre("state 1 SUCCEEDED COMPLETED", "dispatch 2 w10 notify"));
}

TEST_F(AfterTest, EndedPredecessorsAreJudgedAtOnce) {
  AddWorker(10);
  Submit(1);
  Take();
  Finish(10, 1);
  Submit(2);
  Cancel(2);
  Take();
  SubmitAfter(3, {1});
  EXPECT_THAT(Take(), ElementsAre("dispatch 3 w10 notify"));
  Submit(6);
  for (const TaskSlot before : {2U, 77U, 4U}) {  // cancelled, unknown, itself
    SubmitAfter(4, {6, before});
    EXPECT_THAT(Take(), ElementsAre("state 4 CANCELLED DEPENDENCY_FAILED"));
    scheduler_.ForgetTask(4);
  }
  EXPECT_EQ(scheduler_.footprint().dependencies, 0U);
}

TEST_F(AfterTest, DelayAndPredecessorsBothCount) {
  AddWorker(10);
  Submit(1);
  Submit(2, TaskSpec{.not_before_ns = now_ + kSecond, .after = {1}});
  Submit(3, TaskSpec{.not_before_ns = now_ + kMs, .after = {1}});
  Take();
  Advance(kMs);
  EXPECT_THAT(Take(), IsEmpty());
  Finish(10, 1);
  EXPECT_THAT(Take(), ElementsAre("state 1 SUCCEEDED COMPLETED", "dispatch 3 w10 notify"));
  Finish(10, 3);
  Take();
  Advance(kSecond);
  EXPECT_THAT(Take(), ElementsAre("dispatch 2 w10 notify"));
}

TEST_F(AfterTest, WaitingTaskCanBeCancelledWithoutItsPredecessor) {
  Submit(1);
  SubmitAfter(2, {1});
  SubmitAfter(3, {2});
  Cancel(2);
  EXPECT_EQ(state(1), TaskState::kQueued);
  EXPECT_EQ(state(3), TaskState::kCancelled);
  EXPECT_EQ(scheduler_.footprint().dependencies, 0U);
}

TEST_F(AfterTest, LongChainFallsWithoutDeepRecursion) {
  constexpr TaskSlot kLength = 200'000;
  Submit(0);
  for (TaskSlot slot = 1; slot < kLength; ++slot) {
    Submit(slot, TaskSpec{.after = {slot - 1}});
  }
  Cancel(0);
  EXPECT_EQ(state(kLength - 1), TaskState::kCancelled);
  std::vector<Action> actions;
  scheduler_.TakeActions(now_, &actions);
  EXPECT_EQ(actions.size(), kLength);
  EXPECT_EQ(scheduler_.footprint().dependencies, 0U);
}

}  // namespace
}  // namespace prefork::scheduler
