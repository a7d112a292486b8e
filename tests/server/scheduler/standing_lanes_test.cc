// Workers that do not take what they are given: their entries run elsewhere, and they rest.

#include <cstdint>

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

constexpr int64_t kUnclaimed = 50 * kMs;
constexpr int64_t kFirstRest = 100 * kMs;

class StandingLanesTest : public SchedulerTest {
 protected:
  // Worker 10 sleeps: it leaves task 1, which is QUEUED again.
  void LetWorkerLeaveTask() {
    Submit(1);
    ASSERT_THAT(Take(), ElementsAre("dispatch 1 w10 notify"));
    Advance(kUnclaimed);
    ASSERT_THAT(Take(), ElementsAre("revoke 1 w10"));
    scheduler_.Revoked(10, 1, now_);
  }
};

TEST_F(StandingLanesTest, ALoneEntryThatNobodyClaimsRunsElsewhere) {
  AddWorker(10);
  Submit(1);
  Take();
  EXPECT_EQ(scheduler_.NextDeadlineNs(), now_ + kUnclaimed);
  AddWorker(11);
  Advance(kUnclaimed - 1);
  EXPECT_THAT(Take(), IsEmpty());
  Advance(1);
  EXPECT_THAT(Take(), ElementsAre("revoke 1 w10"));
  EXPECT_EQ(scheduler_.NextDeadlineNs(), INT64_MAX);
  scheduler_.Revoked(10, 1, now_);
  EXPECT_THAT(Take(),
              ElementsAre("state 1 QUEUED", "w10 rests", "dispatch 1 w11 notify", "idle w10"));
}

TEST_F(StandingLanesTest, AnEntryThatIsKnownToRunNeedsNoTimer) {
  AddWorker(10);
  Submit(1);
  Take();
  Start(10, 1);
  EXPECT_THAT(Take(), ElementsAre("state 1 RUNNING"));
  EXPECT_EQ(scheduler_.NextDeadlineNs(), INT64_MAX);
}

TEST_F(StandingLanesTest, AnEntryThatWasClaimedSilentlyIsFoundRunning) {
  AddWorker(10);
  MakeLanesDeep(10, 8);
  Submit(1);
  EXPECT_THAT(Take(), ElementsAre("dispatch 1 w10"));
  Advance(kUnclaimed);
  EXPECT_THAT(Take(), ElementsAre("revoke 1 w10"));
  scheduler_.RevokeRefused(10, 1, now_);
  EXPECT_THAT(Take(), ElementsAre("state 1 RUNNING"));
  EXPECT_EQ(scheduler_.NextDeadlineNs(), INT64_MAX);
  EXPECT_EQ(scheduler_.counts(kPool).resting_workers, 0U);
  Finish(10, 1);
  EXPECT_EQ(state(1), TaskState::kSucceeded);
}

TEST_F(StandingLanesTest, ASleeperIsAskedForEverythingInItsLane) {
  AddWorker(10);
  MakeLanesDeep(10, 8);
  Submit(1);
  Submit(2);
  Take();
  Advance(5 * kMs);
  EXPECT_THAT(Take(), ElementsAre("revoke 2 w10"));
  scheduler_.Revoked(10, 2, now_);
  Take();
  Advance(kUnclaimed);
  EXPECT_THAT(Take(), ElementsAre("revoke 1 w10"));
  AddWorker(11);
  scheduler_.Revoked(10, 1, now_);
  EXPECT_THAT(Take(), Contains("w10 rests"));
  EXPECT_EQ(scheduler_.worker(1), 11U);
  EXPECT_EQ(scheduler_.worker(2), 11U);
}

TEST_F(StandingLanesTest, WhatLiesBehindALongTaskComesBackHoweverThatWasFound) {
  AddWorker(10);
  MakeLanesDeep(10, 8);
  Submit(1);
  Submit(2);
  Take();
  Advance(kMs + 1);
  Submit(3);  // too late to go behind task 1
  EXPECT_THAT(Take(), IsEmpty());
  Advance(5 * kMs);
  EXPECT_THAT(Take(), ElementsAre("revoke 2 w10"));
}

TEST_F(StandingLanesTest, WhatLiesInAFullLaneComesBack) {
  AddWorker(10);
  MakeLanesDeep(10, 8);
  Submit(1);
  Submit(2);
  Submit(3);
  Take();
  scheduler_.Revoked(10, 3, now_);  // it did not fit
  Take();
  Advance(5 * kMs);
  EXPECT_THAT(Take(), ElementsAre("revoke 2 w10"));
}

TEST_F(StandingLanesTest, ARestingWorkerIsIdleButGetsNothingWhileOthersAre) {
  AddWorker(10);
  LetWorkerLeaveTask();
  AddWorker(11);
  Take();
  EXPECT_EQ(scheduler_.counts(kPool).idle_workers, 1U);
  EXPECT_EQ(scheduler_.counts(kPool).resting_workers, 1U);
  EXPECT_EQ(scheduler_.worker(1), 11U);
  Start(11, 1);
  Advance(kFirstRest);
  Finish(11, 1);
  Submit(2);
  EXPECT_THAT(Take(), Contains("dispatch 2 w11 notify")) << "its rest is over, but who can be sure";
}

TEST_F(StandingLanesTest, WhileAllWorkersRestTheTaskIsQueued) {
  AddWorker(10);
  LetWorkerLeaveTask();
  EXPECT_THAT(Take(), ElementsAre("state 1 QUEUED", "w10 rests", "idle w10"));
  EXPECT_EQ(scheduler_.counts(kPool).queued, 1U);
  EXPECT_EQ(scheduler_.NextDeadlineNs(), now_ + kFirstRest);
  Advance(kFirstRest - 1);
  EXPECT_THAT(Take(), IsEmpty());
  Advance(1);
  EXPECT_THAT(Take(), ElementsAre("dispatch 1 w10 notify"));
  EXPECT_EQ(scheduler_.counts(kPool).resting_workers, 0U);
}

TEST_F(StandingLanesTest, NobodyWaitsForTheEndOfARestWithoutATask) {
  AddWorker(10);
  LetWorkerLeaveTask();
  Cancel(1);
  Take();
  EXPECT_EQ(scheduler_.counts(kPool).resting_workers, 1U);
  EXPECT_EQ(scheduler_.NextDeadlineNs(), INT64_MAX);
}

TEST_F(StandingLanesTest, APausedPoolDoesNotWaitForTheEndOfARest) {
  AddWorker(10);
  LetWorkerLeaveTask();
  scheduler_.SetPaused(kPool, true, now_);
  Take();
  EXPECT_EQ(scheduler_.NextDeadlineNs(), INT64_MAX);
  now_ += kFirstRest;
  scheduler_.SetPaused(kPool, false, now_);
  EXPECT_THAT(Take(), ElementsAre("dispatch 1 w10 notify"));
}

TEST_F(StandingLanesTest, EachFailedTrialDoublesTheRestUpToABound) {
  AddWorker(10);
  LetWorkerLeaveTask();
  Take();
  for (const int64_t rest_ms : {100, 200, 400, 800, 1000, 1000}) {
    EXPECT_EQ(scheduler_.NextDeadlineNs(), now_ + rest_ms * kMs);
    Advance(rest_ms * kMs);
    EXPECT_THAT(Take(), ElementsAre("dispatch 1 w10 notify"));
    Advance(kUnclaimed);
    EXPECT_THAT(Take(), ElementsAre("revoke 1 w10"));
    scheduler_.Revoked(10, 1, now_);
    EXPECT_THAT(Take(), ElementsAre("state 1 QUEUED", "idle w10")) << "it was reported before";
  }
}

TEST_F(StandingLanesTest, AClaimRestoresTrust) {
  AddWorker(10);
  LetWorkerLeaveTask();
  Take();
  Advance(kFirstRest);
  Take();
  Start(10, 1);
  Finish(10, 1);
  scheduler_.ForgetTask(1);
  Take();
  LetWorkerLeaveTask();
  EXPECT_THAT(Take(), Contains("w10 rests"));
  EXPECT_EQ(scheduler_.NextDeadlineNs(), now_ + kFirstRest);
}

TEST_F(StandingLanesTest, ARestingWorkerMayRetireOrDie) {
  AddWorker(10);
  LetWorkerLeaveTask();
  scheduler_.RetireWorker(10, now_);
  EXPECT_THAT(Take(), Contains("idle w10"));
  EXPECT_EQ(scheduler_.counts(kPool).resting_workers, 0U);
  EXPECT_EQ(scheduler_.NextDeadlineNs(), INT64_MAX);
  AddWorker(11);
  Take();
  Advance(kUnclaimed);
  Take();
  scheduler_.Revoked(11, 1, now_);
  EXPECT_EQ(scheduler_.counts(kPool).resting_workers, 1U);
  Die(11, kNone);
  EXPECT_EQ(scheduler_.counts(kPool).resting_workers, 0U);
  EXPECT_EQ(scheduler_.counts(kPool).queued, 1U);
}

TEST_F(StandingLanesTest, ATaskWithAProcessOfItsOwnIsNotTakenFromIt) {
  Submit(1, TaskSpec{.dedicated = true});
  EXPECT_THAT(Take(), ElementsAre("start worker for 1"));
  scheduler_.WorkerReady(10, kPool, 1, now_);
  EXPECT_THAT(Take(), ElementsAre("dispatch 1 w10 notify"));
  EXPECT_EQ(scheduler_.NextDeadlineNs(), INT64_MAX);
}

}  // namespace
}  // namespace prefork::scheduler
