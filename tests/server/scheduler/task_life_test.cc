// From submit to the end, with one task in a lane: success, failure, death, cancel and retry.

#include <cstdint>
#include <string>
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
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class TaskLifeTest : public SchedulerTest {
 protected:
  // Submits task 1 and lets it run on worker 10.
  void RunTask(const TaskSpec& spec = TaskSpec()) {
    AddWorker(10);
    Submit(1, spec);
    ASSERT_THAT(Take(), ElementsAre("dispatch 1 w10 notify"));
    Start(10, 1);
    ASSERT_THAT(Take(), ElementsAre("state 1 RUNNING"));
  }
};

TEST_F(TaskLifeTest, WaitsQueuedUntilAWorkerIsReadyAndThenRunsToItsEnd) {
  Submit(1);
  EXPECT_THAT(Take(), IsEmpty());
  EXPECT_EQ(state(1), TaskState::kQueued);
  EXPECT_EQ(scheduler_.worker(1), kNone);

  AddWorker(10);
  EXPECT_THAT(Take(), ElementsAre("dispatch 1 w10 notify"));
  EXPECT_EQ(state(1), TaskState::kDispatched);
  EXPECT_EQ(scheduler_.worker(1), 10U);
  EXPECT_EQ(scheduler_.attempt(1), 1U);

  Start(10, 1);
  EXPECT_THAT(Take(), ElementsAre("state 1 RUNNING"));

  Finish(10, 1);
  EXPECT_THAT(Take(), ElementsAre("state 1 SUCCEEDED COMPLETED", "idle w10"));
  EXPECT_EQ(state(1), TaskState::kSucceeded);
}

TEST_F(TaskLifeTest, EndsAsTheWorkerSays) {
  struct Case {
    EndCause reported;
    std::string seen;
  };
  AddWorker(10);
  for (const Case& c :
       std::vector<Case>{{EndCause::kCompleted, "state 1 SUCCEEDED COMPLETED"},
                         {EndCause::kTaskError, "state 1 FAILED TASK_ERROR"},
                         {EndCause::kInternalLimit, "state 1 FAILED INTERNAL_LIMIT"},
                         // Nobody asked it to stop, so stopping is its own failure.
                         {EndCause::kCancelledByClient, "state 1 FAILED TASK_ERROR"}}) {
    Submit(1);
    ASSERT_THAT(Take(), ElementsAre("dispatch 1 w10 notify"));
    Finish(10, 1, c.reported);
    EXPECT_THAT(Take(), ElementsAre(c.seen, "idle w10"));
    scheduler_.ForgetTask(1);
  }
}

TEST_F(TaskLifeTest, DeathOfTheWorkerEndsOnlyTheTaskThatItRan) {
  struct Case {
    EndCause cause;
    std::string seen;
  };
  for (const Case& c :
       std::vector<Case>{{EndCause::kWorkerDied, "state 1 CRASHED WORKER_DIED"},
                         {EndCause::kOutOfMemory, "state 1 CRASHED OUT_OF_MEMORY"},
                         {EndCause::kProtocolViolation, "state 1 CRASHED PROTOCOL_VIOLATION"},
                         // The process of a dedicated command may end well without another word.
                         {EndCause::kCompleted, "state 1 SUCCEEDED COMPLETED"}}) {
    const WorkerKey worker = 10 + static_cast<WorkerKey>(c.cause);
    AddWorker(worker);
    Submit(1);
    Take();
    Die(worker, 1, c.cause);
    EXPECT_THAT(Take(), ElementsAre(c.seen));
    scheduler_.ForgetTask(1);
  }
}

TEST_F(TaskLifeTest, UnclaimedTaskOfADeadWorkerRunsElsewhereInTheSameAttempt) {
  AddWorker(10);
  Submit(1);
  Take();
  Die(10, kNone);
  EXPECT_THAT(Take(), ElementsAre("state 1 QUEUED"));
  AddWorker(11);
  EXPECT_THAT(Take(), ElementsAre("dispatch 1 w11 notify"));
  EXPECT_EQ(scheduler_.attempt(1), 1U);
}

TEST_F(TaskLifeTest, AnnouncedStartCountsAsClaimedEvenIfTheClaimWordSaysOtherwise) {
  RunTask();
  Die(10, kNone);
  EXPECT_THAT(Take(), ElementsAre("state 1 CRASHED WORKER_DIED"));
}

TEST_F(TaskLifeTest, DeathOfAnIdleWorkerAffectsNoTask) {
  AddWorker(10);
  Die(10, kNone);
  EXPECT_THAT(Take(), IsEmpty());
  EXPECT_EQ(scheduler_.counts(kPool).workers, 0U);
}

TEST_F(TaskLifeTest, CancelOfAQueuedTaskIsImmediate) {
  Submit(1);
  Cancel(1);
  EXPECT_THAT(Take(), ElementsAre("state 1 CANCELLED CANCELLED_BY_CLIENT"));
  AddWorker(10);
  EXPECT_THAT(Take(), IsEmpty());
}

TEST_F(TaskLifeTest, CancelOfADispatchedTaskTakesItBack) {
  AddWorker(10);
  Submit(1);
  Take();
  Cancel(1);
  EXPECT_THAT(Take(), ElementsAre("revoke 1 w10"));
  EXPECT_EQ(state(1), TaskState::kDispatched);
  scheduler_.Revoked(10, 1, now_);
  EXPECT_THAT(Take(), ElementsAre("state 1 CANCELLED CANCELLED_BY_CLIENT", "idle w10"));
}

TEST_F(TaskLifeTest, CancelOfADispatchedTaskThatWasClaimedMeanwhileStopsIt) {
  AddWorker(10);
  Submit(1, TaskSpec{.grace_ns = kSecond});
  Take();
  Cancel(1);
  EXPECT_THAT(Take(), ElementsAre("revoke 1 w10"));
  scheduler_.RevokeRefused(10, 1, now_);
  EXPECT_THAT(Take(), ElementsAre("state 1 RUNNING", "ask 1 w10 CANCELLED_BY_CLIENT"));
  Finish(10, 1, EndCause::kCancelledByClient);
  EXPECT_THAT(Take(), ElementsAre("state 1 CANCELLED CANCELLED_BY_CLIENT", "idle w10"));
}

TEST_F(TaskLifeTest, CancelledTaskThatDiesUnclaimedIsCancelledNotRequeued) {
  AddWorker(10);
  Submit(1);
  Take();
  Cancel(1);
  Take();
  Die(10, kNone);
  EXPECT_THAT(Take(), ElementsAre("state 1 CANCELLED CANCELLED_BY_CLIENT"));
}

TEST_F(TaskLifeTest, CancelOfARunningTaskAsksThenKillsAfterTheGrace) {
  RunTask(TaskSpec{.grace_ns = 3 * kSecond});
  EXPECT_EQ(scheduler_.NextDeadlineNs(), INT64_MAX);
  Cancel(1);
  EXPECT_THAT(Take(), ElementsAre("ask 1 w10 CANCELLED_BY_CLIENT"));
  EXPECT_EQ(scheduler_.NextDeadlineNs(), now_ + 3 * kSecond);
  Advance(3 * kSecond - 1);
  EXPECT_THAT(Take(), IsEmpty());
  Advance(1);
  EXPECT_THAT(Take(), ElementsAre("kill w10 for 1 CANCELLED_BY_CLIENT"));
  Die(10, 1);
  EXPECT_THAT(Take(), ElementsAre("state 1 CANCELLED CANCELLED_BY_CLIENT"));
  EXPECT_EQ(scheduler_.NextDeadlineNs(), INT64_MAX);
}

TEST_F(TaskLifeTest, CancelWithoutGraceKillsAtOnce) {
  RunTask();
  Cancel(1);
  EXPECT_THAT(Take(), ElementsAre("kill w10 for 1 CANCELLED_BY_CLIENT"));
}

TEST_F(TaskLifeTest, SecondCancelWithForceSkipsTheGrace) {
  RunTask(TaskSpec{.grace_ns = 3 * kSecond});
  Cancel(1);
  Cancel(1);
  EXPECT_THAT(Take(), ElementsAre("ask 1 w10 CANCELLED_BY_CLIENT"));
  Cancel(1, /*force=*/true);
  Cancel(1, /*force=*/true);
  EXPECT_THAT(Take(), ElementsAre("kill w10 for 1 CANCELLED_BY_CLIENT"));
}

TEST_F(TaskLifeTest, TaskThatSucceedsAfterItsCancelIsCancelledNevertheless) {
  RunTask(TaskSpec{.grace_ns = kSecond});
  Cancel(1);
  Take();
  Finish(10, 1, EndCause::kCompleted);
  EXPECT_THAT(Take(), ElementsAre("state 1 CANCELLED CANCELLED_BY_CLIENT", "idle w10"));
  EXPECT_EQ(scheduler_.NextDeadlineNs(), INT64_MAX);
}

TEST_F(TaskLifeTest, CancelKeepsItsCause) {
  for (const EndCause cause : {EndCause::kClientGone, EndCause::kShutdown}) {
    Submit(1);
    scheduler_.Cancel(1, cause, /*force=*/false, now_);
    EXPECT_THAT(Take(), ElementsAre(HasSubstr(std::string(EndCauseName(cause)))));
    scheduler_.ForgetTask(1);
  }
}

TEST_F(TaskLifeTest, LateMessagesChangeNothing) {
  RunTask();
  Finish(10, 1);
  Take();
  Finish(10, 1, EndCause::kTaskError);
  Start(10, 1);
  Cancel(1);
  scheduler_.Revoked(10, 1, now_);
  scheduler_.RevokeRefused(10, 1, now_);
  scheduler_.DedicatedFailed(1, now_);
  Die(10, 1);
  Die(10, 1);
  Finish(10, 1);
  scheduler_.RetireWorker(10, now_);
  EXPECT_THAT(Take(), IsEmpty());
  EXPECT_EQ(state(1), TaskState::kSucceeded);
  scheduler_.ForgetTask(1);
  Finish(10, 1);
  Cancel(1);
  EXPECT_THAT(Take(), IsEmpty());
}

TEST_F(TaskLifeTest, MessageFromAnotherWorkerChangesNothing) {
  RunTask();
  AddWorker(11);
  Finish(11, 1);
  scheduler_.Revoked(11, 1, now_);
  Die(11, 1);
  EXPECT_THAT(Take(), IsEmpty());
  EXPECT_EQ(state(1), TaskState::kRunning);
}

TEST_F(TaskLifeTest, RetriesOnTheCausesOfItsPolicyOnly) {
  struct Case {
    uint32_t on;
    EndCause cause;
    bool retried;
  };
  WorkerKey worker = 10;
  for (const Case& c : std::vector<Case>{{kRetryOnTaskError, EndCause::kTaskError, true},
                                         {kRetryOnTaskError, EndCause::kWorkerDied, false},
                                         {kRetryOnTaskError, EndCause::kInternalLimit, false},
                                         {kRetryOnCrash, EndCause::kWorkerDied, true},
                                         {kRetryOnCrash, EndCause::kProtocolViolation, true},
                                         {kRetryOnCrash, EndCause::kOutOfMemory, false},
                                         {kRetryOnCrash, EndCause::kTaskError, false},
                                         {kRetryOnOutOfMemory, EndCause::kOutOfMemory, true},
                                         {kRetryOnOutOfMemory, EndCause::kWorkerDied, false},
                                         {0, EndCause::kTaskError, false}}) {
    AddWorker(++worker);
    Submit(1, TaskSpec{.retry = {.max_attempts = 2, .on = c.on}});
    Take();
    Die(worker, 1, c.cause);
    EXPECT_EQ(!IsTerminal(state(1)), c.retried) << EndCauseName(c.cause) << " on " << c.on;
    Cancel(1);
    Take();
    scheduler_.ForgetTask(1);
  }
}

TEST_F(TaskLifeTest, BackoffGrowsUpToItsMaximumAndAttemptsAreCounted) {
  AddWorker(10);
  Submit(1, TaskSpec{.retry = {.max_attempts = 5,
                               .on = kRetryOnTaskError,
                               .backoff_ns = 100 * kMs,
                               .backoff_multiplier = 3,
                               .max_backoff_ns = 500 * kMs}});
  Take();
  uint32_t attempt = 1;
  for (const int64_t backoff : {100 * kMs, 300 * kMs, 500 * kMs, 500 * kMs}) {
    Finish(10, 1, EndCause::kTaskError);
    EXPECT_EQ(scheduler_.NextDeadlineNs(), now_ + backoff);
    EXPECT_EQ(state(1), TaskState::kWaiting);
    Take();
    Advance(backoff - 1);
    EXPECT_THAT(Take(), IsEmpty());
    Advance(1);
    ++attempt;
    EXPECT_THAT(Take(),
                ElementsAre("dispatch 1 w10 attempt " + std::to_string(attempt) + " notify"));
    EXPECT_EQ(scheduler_.attempt(1), attempt);
  }
  Finish(10, 1, EndCause::kTaskError);
  EXPECT_THAT(Take(), ElementsAre("state 1 FAILED TASK_ERROR", "idle w10"));
}

TEST_F(TaskLifeTest, RetryWithoutBackoffIsQueuedAtOnce) {
  AddWorker(10);
  Submit(1, TaskSpec{.retry = {.max_attempts = 2, .on = kRetryOnTaskError, .backoff_ns = 0}});
  Take();
  Finish(10, 1, EndCause::kTaskError);
  EXPECT_THAT(Take(),
              ElementsAre("retry 1 after attempt 1 TASK_ERROR", "dispatch 1 w10 attempt 2 notify"));
}

TEST_F(TaskLifeTest, CancelDuringTheBackoffEndsIt) {
  AddWorker(10);
  Submit(1, TaskSpec{.retry = {.max_attempts = 2, .on = kRetryOnTaskError}});
  Take();
  Finish(10, 1, EndCause::kTaskError);
  Take();
  Cancel(1);
  EXPECT_THAT(Take(), ElementsAre("state 1 CANCELLED CANCELLED_BY_CLIENT"));
  EXPECT_EQ(scheduler_.NextDeadlineNs(), INT64_MAX);
}

TEST_F(TaskLifeTest, TaskThatKeepsKillingWorkersIsNotRetriedForEver) {
  Submit(1, TaskSpec{.retry = {.max_attempts = 100, .on = kRetryOnCrash, .backoff_ns = 0}});
  for (WorkerKey worker = 10; worker < 12; ++worker) {
    AddWorker(worker);
    Take();
    Die(worker, 1);
    EXPECT_FALSE(IsTerminal(state(1)));
  }
  AddWorker(12);
  Take();
  Die(12, 1);
  EXPECT_THAT(Take(), ElementsAre("state 1 CRASHED WORKER_DIED"));
}

TEST_F(TaskLifeTest, DelayedTaskWaitsForItsTime) {
  AddWorker(10);
  Submit(1, TaskSpec{.not_before_ns = now_ + kSecond});
  EXPECT_EQ(state(1), TaskState::kWaiting);
  EXPECT_EQ(scheduler_.counts(kPool).waiting, 1U);
  EXPECT_EQ(scheduler_.NextDeadlineNs(), now_ + kSecond);
  EXPECT_THAT(Take(), IsEmpty());
  Advance(kSecond);
  EXPECT_THAT(Take(), ElementsAre("dispatch 1 w10 notify"));
}

TEST_F(TaskLifeTest, RefusalsNameTheirReasonAndLeaveNoTrace) {
  scheduler_.AddPool(2, PoolLimits{.max_queued = 1});
  ASSERT_TRUE(scheduler_.Submit(1, TaskSpec{.pool = 2}, now_).ok());
  const absl::Status full = scheduler_.Submit(2, TaskSpec{.pool = 2}, now_);
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(full.message()), HasSubstr("submit again when some have ended"));

  const absl::Status unknown = scheduler_.Submit(2, TaskSpec{.pool = 77}, now_);
  EXPECT_EQ(unknown.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(unknown.message()), HasSubstr("77"));

  for (const RetryPolicy& retry :
       {RetryPolicy{.max_attempts = 0}, RetryPolicy{.backoff_multiplier = -1},
        RetryPolicy{.backoff_multiplier = 0.0 / 0.0}, RetryPolicy{.backoff_ns = -1}}) {
    const absl::Status senseless =
        scheduler_.Submit(2, TaskSpec{.pool = kPool, .retry = retry}, now_);
    EXPECT_EQ(senseless.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(senseless.message()), HasSubstr("retry: "));
  }
  EXPECT_EQ(scheduler_.footprint().tasks, 1U);
  Cancel(1);
  EXPECT_TRUE(scheduler_.Submit(2, TaskSpec{.pool = 2}, now_).ok());
}

}  // namespace
}  // namespace prefork::scheduler
