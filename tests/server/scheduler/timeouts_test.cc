// Timeouts of running and of queued tasks.

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

class TimeoutsTest : public SchedulerTest {
 protected:
  // Task 1 with a timeout of one second is in the lane of worker 10.
  void Dispatch(TaskSpec spec = TaskSpec()) {
    spec.timeout_ns = kSecond;
    AddWorker(10);
    Submit(1, spec);
    ASSERT_THAT(Take(), ElementsAre("dispatch 1 w10 notify"));
  }
  void Run(const TaskSpec& spec = TaskSpec()) {
    Dispatch(spec);
    Start(10, 1);
    ASSERT_THAT(Take(), ElementsAre("state 1 RUNNING"));
  }
};

TEST_F(TimeoutsTest, RunFromTheStartOfTheTaskNotFromItsDispatch) {
  Dispatch();
  Advance(40 * kMs);
  EXPECT_THAT(Take(), IsEmpty());
  Start(10, 1);
  Take();
  EXPECT_EQ(scheduler_.NextDeadlineNs(), now_ + kSecond);
}

TEST_F(TimeoutsTest, CountFromWhenTheTaskStartedNotFromWhenTheNewsCame) {
  Dispatch();
  Advance(kSecond);
  scheduler_.Started(10, 1, now_ - 600 * kMs, now_);
  EXPECT_EQ(scheduler_.NextDeadlineNs(), now_ + 400 * kMs);
}

TEST_F(TimeoutsTest, BelieveNoStartInTheFuture) {
  Dispatch();
  scheduler_.Started(10, 1, now_ + kSecond, now_);
  EXPECT_EQ(scheduler_.NextDeadlineNs(), now_ + kSecond);
  // Nor does a second announcement buy time.
  Advance(500 * kMs);
  Start(10, 1);
  EXPECT_EQ(scheduler_.NextDeadlineNs(), now_ + 500 * kMs);
}

TEST_F(TimeoutsTest, KillAtOnceWithoutGrace) {
  Run();
  Advance(kSecond);
  EXPECT_THAT(Take(), ElementsAre("kill w10 for 1 TIMEOUT"));
  Die(10, 1);
  EXPECT_THAT(Take(), ElementsAre("state 1 TIMED_OUT TIMEOUT"));
}

TEST_F(TimeoutsTest, AskFirstAndKillAfterTheGrace) {
  Run(TaskSpec{.grace_ns = 200 * kMs});
  Advance(kSecond);
  EXPECT_THAT(Take(), ElementsAre("ask 1 w10 TIMEOUT"));
  Advance(200 * kMs);
  EXPECT_THAT(Take(), ElementsAre("kill w10 for 1 TIMEOUT"));
  Die(10, 1, EndCause::kOutOfMemory);
  EXPECT_THAT(Take(), ElementsAre("state 1 TIMED_OUT TIMEOUT"));
}

TEST_F(TimeoutsTest, TaskThatObeysOrSucceedsTooLateTimedOutNevertheless) {
  for (const EndCause reported : {EndCause::kCancelledByClient, EndCause::kCompleted}) {
    const WorkerKey worker = 10 + static_cast<WorkerKey>(reported);
    AddWorker(worker);
    Submit(1, TaskSpec{.timeout_ns = kSecond, .grace_ns = kSecond});
    Take();
    Start(worker, 1);
    Advance(kSecond);
    Take();
    Finish(worker, 1, reported, /*run_ns=*/kSecond + kMs);
    EXPECT_THAT(Take(), ElementsAre("state 1 TIMED_OUT TIMEOUT", testing::_));
    Die(worker, kNone);
    scheduler_.ForgetTask(1);
  }
}

TEST_F(TimeoutsTest, ResultThatWasReadyInTimeCountsEvenIfItsNewsCameLate) {
  Run(TaskSpec{.grace_ns = kSecond});
  Advance(kSecond);
  Take();
  Finish(10, 1, EndCause::kCompleted, /*run_ns=*/kSecond - 1);
  EXPECT_THAT(Take(), ElementsAre("state 1 SUCCEEDED COMPLETED", "idle w10"));
}

TEST_F(TimeoutsTest, AreRepeatedOnlyWhenThePolicySaysSo) {
  Run(TaskSpec{.retry = {.max_attempts = 2, .on = kRetryOnTimeout, .backoff_ns = 0}});
  Advance(kSecond);
  Take();
  Die(10, 1);
  EXPECT_THAT(Take(), ElementsAre("retry 1 after attempt 1 TIMEOUT"));
  AddWorker(11);
  EXPECT_THAT(Take(), ElementsAre("dispatch 1 w11 attempt 2 notify"));
  Advance(10 * kMs);
  Start(11, 1);
  EXPECT_EQ(scheduler_.NextDeadlineNs(), now_ + kSecond) << "the first attempt's timeout is gone";
}

TEST_F(TimeoutsTest, CancelDuringTheGracePreventsTheNextAttempt) {
  Run(TaskSpec{.grace_ns = kSecond, .retry = {.max_attempts = 2, .on = kRetryOnTimeout}});
  Advance(kSecond);
  Cancel(1);
  EXPECT_THAT(Take(), ElementsAre("ask 1 w10 TIMEOUT"));
  Finish(10, 1, EndCause::kCancelledByClient);
  EXPECT_THAT(Take(), ElementsAre("state 1 CANCELLED CANCELLED_BY_CLIENT", "idle w10"));
}

TEST_F(TimeoutsTest, TimerOfOneTaskNeverTouchesTheNextOnTheSameWorker) {
  Run();
  Finish(10, 1);
  Submit(2);
  EXPECT_THAT(Take(), ElementsAre("state 1 SUCCEEDED COMPLETED", "dispatch 2 w10 notify"));
  Start(10, 2);
  Take();
  Advance(2 * kSecond);
  EXPECT_THAT(Take(), IsEmpty());
  EXPECT_EQ(state(2), TaskState::kRunning);
}

TEST_F(TimeoutsTest, AbsurdlyLongOnesAreNever) {
  AddWorker(10);
  Submit(1,
         TaskSpec{.timeout_ns = INT64_MAX, .queue_timeout_ns = INT64_MAX, .grace_ns = INT64_MAX});
  Take();
  Start(10, 1);
  EXPECT_EQ(scheduler_.NextDeadlineNs(), INT64_MAX);
  Cancel(1);
  EXPECT_THAT(Take(), ElementsAre("state 1 RUNNING", "ask 1 w10 CANCELLED_BY_CLIENT"));
  EXPECT_EQ(scheduler_.NextDeadlineNs(), INT64_MAX);
}

TEST_F(TimeoutsTest, QueuedTaskExpires) {
  Submit(1, TaskSpec{.queue_timeout_ns = kSecond});
  EXPECT_EQ(scheduler_.NextDeadlineNs(), now_ + kSecond);
  Advance(kSecond);
  EXPECT_THAT(Take(), ElementsAre("state 1 TIMED_OUT QUEUE_EXPIRED"));
}

TEST_F(TimeoutsTest, DelayedTaskExpiresToo) {
  Submit(1, TaskSpec{.not_before_ns = now_ + 10 * kSecond, .queue_timeout_ns = kSecond});
  Advance(kSecond);
  EXPECT_THAT(Take(), ElementsAre("state 1 TIMED_OUT QUEUE_EXPIRED"));
}

TEST_F(TimeoutsTest, DispatchedTaskExpiresUnlessItWasClaimed) {
  AddWorker(10);
  AddWorker(11);
  Submit(1, TaskSpec{.queue_timeout_ns = 10 * kMs});
  Submit(2, TaskSpec{.queue_timeout_ns = 10 * kMs});
  Take();
  Advance(10 * kMs);
  EXPECT_THAT(Take(), testing::UnorderedElementsAre("revoke 1 w11", "revoke 2 w10"));
  scheduler_.Revoked(11, 1, now_);
  scheduler_.RevokeRefused(10, 2, now_);
  EXPECT_THAT(Take(),
              ElementsAre("state 1 TIMED_OUT QUEUE_EXPIRED", "state 2 RUNNING", "idle w11"));
  Finish(10, 2);
  EXPECT_EQ(state(2), TaskState::kSucceeded);
}

TEST_F(TimeoutsTest, TaskThatRanDoesNotExpireWhileItWaitsForItsNextAttempt) {
  AddWorker(10);
  Submit(1, TaskSpec{.queue_timeout_ns = kSecond,
                     .retry = {.max_attempts = 2,
                               .on = kRetryOnTaskError,
                               .backoff_ns = 10 * kSecond,
                               .max_backoff_ns = 10 * kSecond}});
  Take();
  Start(10, 1);
  Finish(10, 1, EndCause::kTaskError);
  Take();
  Advance(5 * kSecond);
  EXPECT_THAT(Take(), IsEmpty());
  EXPECT_EQ(scheduler_.NextDeadlineNs(), now_ + 5 * kSecond);
}

}  // namespace
}  // namespace prefork::scheduler
