// Several tasks in one lane: how deep, what happens when it stands still, and that what is done to one
// entry never hits its neighbours.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/scheduler/scheduler.h"
#include "server/scheduler/types.h"
#include "tests/server/scheduler/scheduler_fixture.h"

namespace prefork::scheduler {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int64_t kStanding = 5 * kMs;  // how long a lane may stand still, with the default target

class LanesTest : public SchedulerTest {
 protected:
  // Tasks 1, 2, 3 in the lane of worker 10, which is alone.
  void FillLane(const TaskSpec& first = TaskSpec()) {
    AddWorker(10);
    MakeLanesDeep(10, 8);
    Submit(1, first);
    Submit(2);
    Submit(3);
    ASSERT_THAT(Take(),
                ElementsAre(first.timeout_ns > 0 ? "dispatch 1 w10 notify" : "dispatch 1 w10",
                            "dispatch 2 w10", "dispatch 3 w10"));
  }
  // Answers kRevoke for `tasks` in this order.
  void GiveBack(const std::vector<TaskSlot>& tasks) {
    for (const TaskSlot task : tasks) {
      scheduler_.Revoked(10, task, now_);
    }
  }
};

TEST_F(LanesTest, HoldOneTaskUntilTasksAreKnownToBeShort) {
  AddWorker(10);
  Submit(1);
  Submit(2);
  EXPECT_THAT(Take(), ElementsAre("dispatch 1 w10 notify"));
  EXPECT_EQ(scheduler_.lane_depth(kPool), 1U);
}

TEST_F(LanesTest, BecomeDeepWithShortTasksAndShallowAtOnceWithALongOne) {
  AddWorker(10);
  MakeLanesDeep(10, 64);
  EXPECT_EQ(scheduler_.lane_depth(kPool), 64U);
  Submit(1);
  EXPECT_THAT(Take(), ElementsAre("dispatch 1 w10")) << "short tasks need not announce their start";
  Finish(10, 1, EndCause::kCompleted, /*run_ns=*/kSecond);
  EXPECT_EQ(scheduler_.lane_depth(kPool), 1U);
}

TEST_F(LanesTest, ShareTasksBetweenWorkersBeforeTheyBecomeDeep) {
  AddWorker(10);
  MakeLanesDeep(10, 8);
  AddWorker(11);
  for (TaskSlot slot = 1; slot <= 4; ++slot) {
    Submit(slot);
  }
  EXPECT_THAT(Take(),
              ElementsAre("dispatch 1 w11", "dispatch 2 w10", "dispatch 3 w10", "dispatch 4 w11"));
}

TEST_F(LanesTest, FillUpToTheirDepthOnly) {
  AddWorker(10);
  MakeLanesDeep(10, 4);
  for (TaskSlot slot = 1; slot <= 6; ++slot) {
    Submit(slot);
  }
  EXPECT_EQ(Take().size(), 4U);
  EXPECT_EQ(scheduler_.counts(kPool).queued, 2U);
}

TEST_F(LanesTest, NeedATimerOnlyWhileTheyHoldSomethingThatMayNotRun) {
  FillLane();
  EXPECT_EQ(scheduler_.NextDeadlineNs(), now_ + kStanding);
  Finish(10, 1, EndCause::kCompleted, 1'000);
  Finish(10, 2, EndCause::kCompleted, 1'000);
  Start(10, 3);
  Take();
  EXPECT_EQ(scheduler_.NextDeadlineNs(), INT64_MAX);
}

TEST_F(LanesTest, ThatStandStillGiveBackWhatIsBehindTheFirstEntry) {
  FillLane();
  Advance(kStanding - 1);
  EXPECT_THAT(Take(), IsEmpty());
  Advance(1);
  EXPECT_THAT(Take(), ElementsAre("revoke 3 w10", "revoke 2 w10"));
  EXPECT_EQ(scheduler_.NextDeadlineNs(), INT64_MAX);
  Submit(4);
  AddWorker(11);
  // In their old order, and before what came later.
  GiveBack({2, 3});
  EXPECT_THAT(Take(), ElementsAre("state 2 QUEUED", "state 3 QUEUED", "dispatch 2 w11",
                                  "dispatch 3 w11", "dispatch 4 w11"));
}

TEST_F(LanesTest, ThatMoveAreLeftAlone) {
  FillLane();
  Advance(kStanding - 1);
  Finish(10, 1, EndCause::kCompleted, 1'000);
  Take();
  Advance(1);
  EXPECT_THAT(Take(), IsEmpty());
  EXPECT_EQ(scheduler_.NextDeadlineNs(), now_ - 1 + kStanding);
}

TEST_F(LanesTest, GetNothingBehindATaskThatIsKnownToBeLong) {
  AddWorker(10);
  MakeLanesDeep(10, 8);
  Submit(1);
  Take();
  Advance(kMs + 1);
  Submit(2);
  EXPECT_THAT(Take(), IsEmpty());
  EXPECT_EQ(state(2), TaskState::kQueued);
  Finish(10, 1, EndCause::kCompleted, kMs + 1);
  EXPECT_THAT(Take(), Contains("dispatch 2 w10 notify"));
}

TEST_F(LanesTest, EntryThatWasClaimedMeanwhileRunsOn) {
  FillLane();
  Advance(kStanding);
  Take();
  scheduler_.Revoked(10, 3, now_);
  scheduler_.RevokeRefused(10, 2, now_);
  EXPECT_THAT(Take(), ElementsAre("state 3 QUEUED", "state 2 RUNNING"));
  Finish(10, 1, EndCause::kCompleted, 1'000);
  Finish(10, 2, EndCause::kCompleted, 1'000);
  EXPECT_THAT(Take(), ElementsAre("state 1 SUCCEEDED COMPLETED", "state 2 SUCCEEDED COMPLETED",
                                  "dispatch 3 w10"));
}

TEST_F(LanesTest, EntryThatFinishedBeforeTheAnswerIsNotTakenBack) {
  FillLane();
  Advance(kStanding);
  Take();
  Finish(10, 1);
  Finish(10, 2);
  scheduler_.RevokeRefused(10, 2, now_);
  EXPECT_EQ(state(2), TaskState::kSucceeded);
}

TEST_F(LanesTest, RequestThatWasAnsweredByALaterEventIsNotHandedOut) {
  FillLane();
  Cancel(3);
  Finish(10, 1);
  Finish(10, 2);
  Finish(10, 3);
  EXPECT_THAT(Take(), ElementsAre("state 1 SUCCEEDED COMPLETED", "state 2 SUCCEEDED COMPLETED",
                                  "state 3 CANCELLED CANCELLED_BY_CLIENT", "idle w10"));
}

TEST_F(LanesTest, DeathOfTheWorkerCostsTheClaimedEntryAlone) {
  FillLane();
  AddWorker(11);
  Die(10, 1);
  EXPECT_THAT(Take(), ElementsAre("state 3 QUEUED", "state 2 QUEUED", "state 1 CRASHED WORKER_DIED",
                                  "dispatch 2 w11", "dispatch 3 w11"));
}

TEST_F(LanesTest, AreClearedBeforeARunningTaskIsAskedToStop) {
  FillLane(TaskSpec{.timeout_ns = kMs, .grace_ns = kSecond});
  Start(10, 1);
  Take();
  Advance(kMs);
  EXPECT_THAT(Take(), ElementsAre("revoke 3 w10", "revoke 2 w10"));
  scheduler_.Revoked(10, 3, now_);
  EXPECT_THAT(Take(), ElementsAre("state 3 QUEUED"));
  scheduler_.Revoked(10, 2, now_);
  EXPECT_THAT(Take(), ElementsAre("ask 1 w10 TIMEOUT", "state 2 QUEUED"));
}

TEST_F(LanesTest, GetNothingWhileATaskInThemIsBeingStopped) {
  FillLane(TaskSpec{.timeout_ns = kMs, .grace_ns = kSecond});
  Start(10, 1);
  Advance(kMs);
  GiveBack({3, 2});
  Submit(4);
  EXPECT_THAT(Take(), Contains("ask 1 w10 TIMEOUT"));
  EXPECT_EQ(scheduler_.counts(kPool).queued, 3U);
  Finish(10, 1, EndCause::kCancelledByClient, 1'000'000);
  EXPECT_THAT(Take(), Contains(testing::HasSubstr("dispatch 2 w10")));
}

TEST_F(LanesTest, StopWaitsForTheNewsThatTheTaskHasFinishedAlready) {
  FillLane(TaskSpec{.timeout_ns = kMs});
  Start(10, 1);
  Advance(kMs);
  EXPECT_THAT(Take(), ElementsAre("state 1 RUNNING", "revoke 3 w10", "revoke 2 w10"));
  scheduler_.Revoked(10, 3, now_);
  scheduler_.RevokeRefused(10, 2, now_);  // so task 1 is over
  EXPECT_THAT(Take(), ElementsAre("state 3 QUEUED", "state 2 RUNNING"));
  Finish(10, 1, EndCause::kCompleted, kMs - 1);
  EXPECT_THAT(Take(), ElementsAre("state 1 SUCCEEDED COMPLETED", "dispatch 3 w10"));
  EXPECT_EQ(state(2), TaskState::kRunning) << "the neighbour was not hit";
}

TEST_F(LanesTest, WorkerThatHoldsTwoClaimsForTooLongIsKilled) {
  FillLane(TaskSpec{.timeout_ns = kMs});
  Start(10, 1);
  Advance(kMs);
  Take();
  scheduler_.Revoked(10, 3, now_);
  scheduler_.RevokeRefused(10, 2, now_);
  Take();
  Advance(kSecond);
  EXPECT_THAT(Take(), ElementsAre("kill w10 for 1 TIMEOUT"));
  Die(10, 2);
  EXPECT_THAT(Take(), ElementsAre("state 2 CRASHED WORKER_DIED", "state 1 TIMED_OUT TIMEOUT"));
}

TEST_F(LanesTest, CancelOfAnEntryLeavesItsNeighboursWhereTheyAre) {
  FillLane();
  Cancel(2);
  EXPECT_THAT(Take(), ElementsAre("revoke 2 w10"));
  scheduler_.Revoked(10, 2, now_);
  EXPECT_THAT(Take(), ElementsAre("state 2 CANCELLED CANCELLED_BY_CLIENT"));
  EXPECT_EQ(scheduler_.worker(1), 10U);
  EXPECT_EQ(scheduler_.worker(3), 10U);
}

TEST_F(LanesTest, FullLaneTakesTheTaskBackAndGetsNothingUntilItMoved) {
  FillLane();
  scheduler_.Revoked(10, 3, now_);
  Submit(4);
  EXPECT_THAT(Take(), ElementsAre("state 3 QUEUED"));
  Finish(10, 1, EndCause::kCompleted, 1'000);
  EXPECT_THAT(Take(),
              ElementsAre("state 1 SUCCEEDED COMPLETED", "dispatch 3 w10", "dispatch 4 w10"));
}

TEST_F(LanesTest, StartThatWasAnnouncedWithoutAClaimIsNotBelievedAgainstTheClaimWord) {
  FillLane();
  Cancel(2);
  Take();
  Start(10, 2);
  scheduler_.Revoked(10, 2, now_);
  EXPECT_THAT(Take(), ElementsAre("state 2 RUNNING", "state 2 CANCELLED CANCELLED_BY_CLIENT"));
  scheduler_.RetireWorker(10, now_);
  Take();
  Start(10, 3);
  scheduler_.Revoked(10, 3, now_);
  EXPECT_EQ(state(3), TaskState::kQueued);
}

TEST_F(LanesTest, TimeoutDuringAnUnansweredCancelDoesNotForgetTheCancel) {
  AddWorker(10);
  Submit(1, TaskSpec{.timeout_ns = kMs,
                     .grace_ns = kSecond,
                     .retry = {.max_attempts = 2, .on = kRetryOnTimeout}});
  Take();
  Cancel(1);
  Start(10, 1);
  Advance(kMs);
  scheduler_.RevokeRefused(10, 1, now_);
  EXPECT_THAT(Take(), ElementsAre("state 1 RUNNING", "ask 1 w10 CANCELLED_BY_CLIENT"));
  Finish(10, 1, EndCause::kCancelledByClient);
  EXPECT_EQ(state(1), TaskState::kCancelled);
}

}  // namespace
}  // namespace prefork::scheduler
