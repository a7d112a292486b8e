// Pausing, retiring, removing and counting.

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/scheduler/scheduler.h"
#include "server/scheduler/types.h"
#include "tests/server/scheduler/scheduler_fixture.h"

namespace prefork::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

using PoolsTest = SchedulerTest;

TEST_F(PoolsTest, PausedPoolStartsNothingAndResumesWhereItWas) {
  AddWorker(10);
  scheduler_.SetPaused(kPool, true, now_);
  Submit(1);
  EXPECT_THAT(Take(), IsEmpty());
  scheduler_.SetPaused(kPool, false, now_);
  EXPECT_THAT(Take(), ElementsAre("dispatch 1 w10 notify"));
}

TEST_F(PoolsTest, PauseTakesBackWhatIsNotClaimedAndLetsRunWhatRuns) {
  AddWorker(10);
  MakeLanesDeep(10, 4);
  for (TaskSlot slot = 1; slot <= 3; ++slot) {
    Submit(slot);
  }
  Take();
  Start(10, 1);
  Take();
  scheduler_.SetPaused(kPool, true, now_);
  EXPECT_THAT(Take(), ElementsAre("revoke 3 w10", "revoke 2 w10"));
  scheduler_.Revoked(10, 3, now_);
  scheduler_.Revoked(10, 2, now_);
  Finish(10, 1, EndCause::kCompleted, 1'000);
  EXPECT_THAT(Take(), ElementsAre("state 3 QUEUED", "state 2 QUEUED", "state 1 SUCCEEDED COMPLETED",
                                  "idle w10"));
  scheduler_.SetPaused(kPool, false, now_);
  EXPECT_THAT(Take(), ElementsAre("dispatch 2 w10", "dispatch 3 w10"));
}

TEST_F(PoolsTest, OtherPoolsAreNotTouchedByAPause) {
  scheduler_.AddPool(2, PoolLimits());
  scheduler_.SetPaused(kPool, true, now_);
  scheduler_.WorkerReady(10, 2, kNone, now_);
  ASSERT_TRUE(scheduler_.Submit(1, TaskSpec{.pool = 2}, now_).ok());
  EXPECT_THAT(Take(), ElementsAre("dispatch 1 w10 notify"));
}

TEST_F(PoolsTest, RetiringWorkerGivesBackItsTasksAndReportsWhenItIsEmpty) {
  AddWorker(10);
  MakeLanesDeep(10, 4);
  Submit(1);
  Submit(2);
  Take();
  scheduler_.RetireWorker(10, now_);
  EXPECT_THAT(Take(), ElementsAre("revoke 2 w10", "revoke 1 w10"));
  scheduler_.Revoked(10, 2, now_);
  scheduler_.RevokeRefused(10, 1, now_);
  EXPECT_THAT(Take(), ElementsAre("state 2 QUEUED", "state 1 RUNNING"));
  Finish(10, 1);
  EXPECT_THAT(Take(), ElementsAre("state 1 SUCCEEDED COMPLETED", "idle w10"));
  EXPECT_THAT(Take(), IsEmpty());
  EXPECT_EQ(scheduler_.counts(kPool).idle_workers, 0U);
}

TEST_F(PoolsTest, RetiringAnIdleWorkerReportsItAtOnceAndOnce) {
  AddWorker(10);
  scheduler_.RetireWorker(10, now_);
  scheduler_.RetireWorker(10, now_);
  EXPECT_THAT(Take(), ElementsAre("idle w10"));
}

TEST_F(PoolsTest, IdlenessIsReportedOnlyWhenNothingNewCame) {
  AddWorker(10);
  EXPECT_THAT(Take(), IsEmpty()) << "a new worker is idle and known to be";
  Submit(1);
  Submit(2);
  Take();
  Finish(10, 1);
  EXPECT_THAT(Take(), ElementsAre("state 1 SUCCEEDED COMPLETED", "dispatch 2 w10 notify"));
  Finish(10, 2);
  EXPECT_THAT(Take(), ElementsAre("state 2 SUCCEEDED COMPLETED", "idle w10"));
}

TEST_F(PoolsTest, RemovalCancelsEveryTaskAndRetiresEveryWorker) {
  AddWorker(10);
  AddWorker(11);
  Submit(1, TaskSpec{.grace_ns = kSecond});
  Submit(2);
  Submit(3);
  Submit(4, TaskSpec{.not_before_ns = now_ + kSecond});
  Take();
  Start(11, 1);
  Take();
  scheduler_.RemovePool(kPool, now_);
  EXPECT_THAT(Take(),
              ElementsAre("revoke 2 w10", "ask 1 w11 POOL_DELETED",
                          "state 3 CANCELLED POOL_DELETED", "state 4 CANCELLED POOL_DELETED"));
  EXPECT_EQ(scheduler_.Submit(5, TaskSpec{.pool = kPool}, now_).code(),
            absl::StatusCode::kNotFound);
  scheduler_.Revoked(10, 2, now_);
  Finish(11, 1, EndCause::kCancelledByClient);
  EXPECT_THAT(Take(), ElementsAre("state 2 CANCELLED POOL_DELETED",
                                  "state 1 CANCELLED POOL_DELETED", "idle w10", "idle w11"));
  EXPECT_EQ(scheduler_.footprint().pools, 1U) << "its workers are not gone yet";
  Die(10, kNone);
  Die(11, kNone);
  Take();
  EXPECT_EQ(scheduler_.footprint().pools, 0U);
  scheduler_.WorkerReady(12, kPool, kNone, now_);
  EXPECT_THAT(Take(), ElementsAre("idle w12")) << "a worker that comes too late is sent away";
}

TEST_F(PoolsTest, CountsFollowTheTasks) {
  AddWorker(10);
  AddWorker(11);
  Submit(1);
  Submit(2);
  Submit(3);
  Submit(4, TaskSpec{.not_before_ns = now_ + kSecond});
  Take();
  Start(11, 1);
  const SchedulerCounts counts = scheduler_.counts(kPool);
  EXPECT_EQ(counts.waiting, 1U);
  EXPECT_EQ(counts.queued, 1U);
  EXPECT_EQ(counts.dispatched, 1U);
  EXPECT_EQ(counts.running, 1U);
  EXPECT_EQ(counts.workers, 2U);
  EXPECT_EQ(counts.idle_workers, 0U);
  EXPECT_EQ(scheduler_.counts(77).workers, 0U);
  EXPECT_EQ(scheduler_.lane_depth(77), 0U);
}

TEST_F(PoolsTest, OptionsAreKeptOnceForAllTasksThatShareThem) {
  for (TaskSlot slot = 0; slot < 100; ++slot) {
    Submit(slot, TaskSpec{.client = slot % 2, .timeout_ns = kSecond, .grace_ns = kSecond});
  }
  EXPECT_EQ(scheduler_.footprint().policies, 1U);
  EXPECT_EQ(scheduler_.footprint().flows, 2U);
  EXPECT_EQ(scheduler_.footprint().task_details, 0U);
}

TEST_F(PoolsTest, NothingIsLeftOfTasksThatEnded) {
  Submit(1, TaskSpec{.timeout_ns = kSecond, .queue_timeout_ns = kSecond});
  Submit(2, TaskSpec{.not_before_ns = now_ + kSecond, .after = {1}});
  Cancel(1);
  Take();
  SchedulerFootprint footprint = scheduler_.footprint();
  EXPECT_EQ(footprint.tasks, 2U);
  EXPECT_EQ(footprint.task_details + footprint.timers + footprint.flows + footprint.policies +
                footprint.dependencies,
            0U);
  scheduler_.ForgetTask(1);
  scheduler_.ForgetTask(2);
  EXPECT_EQ(scheduler_.footprint().tasks, 0U);
}

using PoolsDeathTest = PoolsTest;

TEST_F(PoolsDeathTest, BugsOfTheCallerAreNamed) {
  Submit(1);
  EXPECT_DEATH(scheduler_.ForgetTask(1), "only a task that ended is forgotten");
  EXPECT_DEATH(scheduler_.ForgetTask(2), "only a task that ended is forgotten");
  EXPECT_DEATH((void)scheduler_.Submit(1, TaskSpec{.pool = kPool}, now_), "slot of a new task");
  EXPECT_DEATH((void)scheduler_.state(2), "the slot is in use");
  EXPECT_DEATH(scheduler_.AddPool(kPool, PoolLimits()), "a pool is added once");
}

}  // namespace
}  // namespace prefork::scheduler
