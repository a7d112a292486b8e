// Dedicated tasks: a worker for one task alone.

#include <cstdint>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/scheduler/scheduler.h"
#include "server/scheduler/types.h"
#include "tests/server/scheduler/scheduler_fixture.h"

namespace prefork::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class DedicatedTest : public SchedulerTest {
 protected:
  DedicatedTest() : SchedulerTest(PoolLimits{.max_dedicated = 2}) {}

  void SubmitDedicated(TaskSlot slot, TaskSpec spec = TaskSpec()) {
    spec.dedicated = true;
    Submit(slot, spec);
  }
  void Ready(WorkerKey worker, TaskSlot task) { scheduler_.WorkerReady(worker, kPool, task, now_); }
};

TEST_F(DedicatedTest, TaskGetsAWorkerOfItsOwnWhichTakesNoOther) {
  AddWorker(10);
  SubmitDedicated(1);
  EXPECT_THAT(Take(), ElementsAre("start worker for 1"));
  EXPECT_EQ(state(1), TaskState::kQueued);
  EXPECT_EQ(scheduler_.worker(1), kNone);
  Ready(20, 1);
  EXPECT_THAT(Take(), ElementsAre("dispatch 1 w20 notify"));
  Finish(20, 1);
  Submit(2);
  EXPECT_THAT(Take(),
              ElementsAre("state 1 SUCCEEDED COMPLETED", "dispatch 2 w10 notify", "idle w20"));
}

TEST_F(DedicatedTest, WorkersAreLimitedUntilTheyAreGone) {
  for (TaskSlot slot = 1; slot <= 4; ++slot) {
    SubmitDedicated(slot);
  }
  EXPECT_THAT(Take(), ElementsAre("start worker for 1", "start worker for 2"));
  Ready(20, 1);
  Take();
  Finish(20, 1);
  EXPECT_THAT(Take(), ElementsAre("state 1 SUCCEEDED COMPLETED", "idle w20"));
  Die(20, kNone);
  EXPECT_THAT(Take(), ElementsAre("start worker for 3"));
  scheduler_.DedicatedFailed(2, now_);
  EXPECT_THAT(Take(), ElementsAre("state 2 CRASHED START_FAILED", "start worker for 4"));
}

TEST_F(DedicatedTest, FailedStartIsRepeatedAsACrashWouldBe) {
  SubmitDedicated(1, TaskSpec{.retry = {.max_attempts = 2, .on = kRetryOnCrash, .backoff_ns = 0}});
  Take();
  scheduler_.DedicatedFailed(1, now_);
  EXPECT_THAT(Take(), ElementsAre("retry 1 after attempt 1 START_FAILED", "start worker for 1"));
  scheduler_.DedicatedFailed(1, now_);
  EXPECT_THAT(Take(), ElementsAre("state 1 CRASHED START_FAILED"));
}

TEST_F(DedicatedTest, WorkerThatDiesBeforeTheClaimIsAFailedStart) {
  SubmitDedicated(1);
  Take();
  Ready(20, 1);
  Take();
  Die(20, kNone);
  EXPECT_THAT(Take(), ElementsAre("state 1 CRASHED START_FAILED"));
}

TEST_F(DedicatedTest, CancelWhileTheWorkerStartsTakesEffectWithTheAnswer) {
  SubmitDedicated(1);
  SubmitDedicated(2);
  Take();
  Cancel(1);
  Cancel(2);
  EXPECT_THAT(Take(), IsEmpty());
  Ready(20, 1);
  scheduler_.DedicatedFailed(2, now_);
  EXPECT_THAT(Take(), ElementsAre("state 1 CANCELLED CANCELLED_BY_CLIENT",
                                  "state 2 CANCELLED CANCELLED_BY_CLIENT", "idle w20"));
}

TEST_F(DedicatedTest, TaskExpiresWhileItsWorkerStarts) {
  SubmitDedicated(1, TaskSpec{.queue_timeout_ns = kSecond});
  Take();
  Advance(kSecond);
  EXPECT_THAT(Take(), IsEmpty());
  Ready(20, 1);
  EXPECT_THAT(Take(), ElementsAre("state 1 TIMED_OUT QUEUE_EXPIRED", "idle w20"));
}

TEST_F(DedicatedTest, PausedPoolHoldsTheReadyWorkerBack) {
  SubmitDedicated(1);
  SubmitDedicated(2);
  SubmitDedicated(3);
  Take();
  scheduler_.SetPaused(kPool, true, now_);
  Ready(20, 1);
  Ready(21, 2);
  EXPECT_THAT(Take(), IsEmpty());
  Cancel(2);
  EXPECT_THAT(Take(), ElementsAre("state 2 CANCELLED CANCELLED_BY_CLIENT", "idle w21"));
  Die(21, kNone);
  EXPECT_THAT(Take(), IsEmpty());
  scheduler_.SetPaused(kPool, false, now_);
  EXPECT_THAT(Take(), ElementsAre("dispatch 1 w20 notify", "start worker for 3"));
}

TEST_F(DedicatedTest, TaskThatAPauseTookBackKeepsItsWorker) {
  SubmitDedicated(1);
  Take();
  Ready(20, 1);
  Take();
  scheduler_.SetPaused(kPool, true, now_);
  EXPECT_THAT(Take(), ElementsAre("revoke 1 w20"));
  scheduler_.Revoked(20, 1, now_);
  EXPECT_THAT(Take(), ElementsAre("state 1 QUEUED"));
  scheduler_.SetPaused(kPool, false, now_);
  EXPECT_THAT(Take(), ElementsAre("dispatch 1 w20 notify"));
}

TEST_F(DedicatedTest, RetiredReadyWorkerLetsItsTaskGoToAnother) {
  SubmitDedicated(1);
  Take();
  scheduler_.SetPaused(kPool, true, now_);
  Ready(20, 1);
  scheduler_.RetireWorker(20, now_);
  EXPECT_THAT(Take(), ElementsAre("idle w20"));
  scheduler_.SetPaused(kPool, false, now_);
  EXPECT_THAT(Take(), ElementsAre("start worker for 1"));
}

TEST_F(DedicatedTest, DeathOfAReadyWorkerIsAFailedStart) {
  SubmitDedicated(1);
  Take();
  scheduler_.SetPaused(kPool, true, now_);
  Ready(20, 1);
  Die(20, kNone);
  EXPECT_THAT(Take(), ElementsAre("state 1 CRASHED START_FAILED"));
}

TEST_F(DedicatedTest, WorkerForATaskThatNeedsNoneIsSentAway) {
  Submit(1);
  Ready(20, 1);
  Ready(21, 77);
  EXPECT_THAT(Take(), ElementsAre("idle w20", "idle w21"));
  Die(20, kNone);
  Die(21, kNone);
  SubmitDedicated(2);
  SubmitDedicated(3);
  EXPECT_THAT(Take(), ElementsAre("start worker for 2", "start worker for 3"));
}

}  // namespace
}  // namespace prefork::scheduler
