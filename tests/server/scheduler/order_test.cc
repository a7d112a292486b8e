// Who comes first: priority, then clients in turn, then the order of arrival.

#include <cstdint>
#include <map>
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

using ::testing::ElementsAre;

class OrderTest : public SchedulerTest {
 protected:
  void SubmitFor(TaskSlot slot, ClientKey client, int32_t priority = 0) {
    Submit(slot, TaskSpec{.client = client, .priority = priority});
  }
  // Runs `count` tasks on worker 10, one after the other, and names them in their order.
  std::vector<TaskSlot> RunTasks(int count) {
    std::vector<TaskSlot> order;
    for (int i = 0; i < count; ++i) {
      std::vector<Action> actions;
      scheduler_.TakeActions(now_, &actions);
      scheduler_.CheckInvariants();
      for (const Action& action : actions) {
        if (action.kind == Action::Kind::kDispatch) {
          order.push_back(action.task);
          Finish(action.worker, action.task);
        }
      }
    }
    return order;
  }
};

TEST_F(OrderTest, FirstComeFirstServedWithinAClient) {
  for (const TaskSlot slot : {3, 1, 2}) {
    SubmitFor(slot, 7);
  }
  AddWorker(10);
  EXPECT_THAT(RunTasks(3), ElementsAre(3, 1, 2));
}

TEST_F(OrderTest, HigherPriorityFirst) {
  SubmitFor(1, 7, -5);
  SubmitFor(2, 7, 0);
  SubmitFor(3, 8, 2'000'000'000);
  SubmitFor(4, 7, 1);
  AddWorker(10);
  EXPECT_THAT(RunTasks(4), ElementsAre(3, 4, 2, 1));
}

TEST_F(OrderTest, ClientsTakeTurnsHoweverMuchOneSubmittedBefore) {
  for (TaskSlot slot = 1; slot <= 4; ++slot) {
    SubmitFor(slot, 7);
  }
  for (TaskSlot slot = 11; slot <= 13; ++slot) {
    SubmitFor(slot, 8);
  }
  SubmitFor(21, 9);
  AddWorker(10);
  EXPECT_THAT(RunTasks(8), ElementsAre(1, 11, 21, 2, 12, 3, 13, 4));
}

TEST_F(OrderTest, ClientWithoutTasksSavesUpNoTurns) {
  SubmitFor(1, 7);
  SubmitFor(2, 8);
  SubmitFor(3, 8);
  SubmitFor(4, 8);
  AddWorker(10);
  EXPECT_THAT(RunTasks(3), ElementsAre(1, 2, 3));
  SubmitFor(5, 7);
  SubmitFor(6, 7);
  SubmitFor(7, 8);
  EXPECT_THAT(RunTasks(4), ElementsAre(4, 5, 7, 6));
}

TEST_F(OrderTest, TaskThatCameBackStandsWhereItStoodAndCostsNoTurn) {
  AddWorker(10);
  AddWorker(11);
  SubmitFor(1, 7);
  SubmitFor(2, 7);
  SubmitFor(3, 7);
  SubmitFor(4, 8);
  SubmitFor(5, 8);
  EXPECT_THAT(Take(), ElementsAre("dispatch 1 w11 notify", "dispatch 4 w10 notify"));
  Die(11, kNone);  // task 1 comes back
  Finish(10, 4);
  EXPECT_THAT(RunTasks(4), ElementsAre(1, 2, 5, 3));
}

TEST_F(OrderTest, TasksThatComeBackInAnyOrderKeepTheirs) {
  AddWorker(10);
  MakeLanesDeep(10, 8);
  for (TaskSlot slot = 1; slot <= 5; ++slot) {
    SubmitFor(slot, 7);
  }
  Take();
  scheduler_.RetireWorker(10, now_);
  for (const TaskSlot slot : {3, 1, 5, 2, 4}) {
    scheduler_.Revoked(10, slot, now_);
  }
  SubmitFor(6, 7);
  AddWorker(11);
  EXPECT_THAT(RunTasks(6), ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST_F(OrderTest, TwoClientsWithABacklogGetTheSameOfEveryWorkersTime) {
  constexpr TaskSlot kEach = 500;
  for (TaskSlot slot = 0; slot < kEach; ++slot) {
    SubmitFor(slot, 1);
  }
  for (TaskSlot slot = kEach; slot < 2 * kEach; ++slot) {
    SubmitFor(slot, 2);
  }
  AddWorker(10);
  AddWorker(11);
  AddWorker(12);
  int lead = 0;
  for (const TaskSlot slot : RunTasks(300)) {
    lead += slot < kEach ? 1 : -1;
    EXPECT_LE(std::abs(lead), 1);
  }
}

TEST_F(OrderTest, CancelledTasksAreSkipped) {
  for (TaskSlot slot = 1; slot <= 4; ++slot) {
    SubmitFor(slot, 7);
  }
  SubmitFor(5, 8);
  Cancel(1);
  Cancel(3);
  Cancel(5);
  AddWorker(10);
  EXPECT_THAT(RunTasks(2), ElementsAre(2, 4));
}

TEST_F(OrderTest, RetryGoesToTheEndOfTheLine) {
  AddWorker(10);
  Submit(1, TaskSpec{.retry = {.max_attempts = 2, .on = kRetryOnTaskError, .backoff_ns = 0}});
  Submit(2);
  Take();
  Finish(10, 1, EndCause::kTaskError);
  EXPECT_THAT(RunTasks(2), ElementsAre(2, 1));
}

TEST_F(OrderTest, WorkerThatBecameIdleLastIsUsedFirst) {
  for (const WorkerKey worker : {10, 11, 12}) {
    AddWorker(worker);
  }
  for (TaskSlot slot = 1; slot <= 3; ++slot) {
    Submit(slot);
  }
  EXPECT_THAT(Take(), ElementsAre("dispatch 1 w12 notify", "dispatch 2 w11 notify",
                                  "dispatch 3 w10 notify"));
  Finish(11, 2);
  Finish(12, 1);
  Finish(10, 3);
  Take();
  Submit(4);
  Submit(5);
  EXPECT_THAT(Take(), ElementsAre("dispatch 4 w10 notify", "dispatch 5 w12 notify"));
}

TEST_F(OrderTest, ManyPrioritiesLeaveNothingBehind) {
  for (TaskSlot slot = 0; slot < 1'000; ++slot) {
    SubmitFor(slot, slot % 3, static_cast<int32_t>(slot));
  }
  EXPECT_EQ(scheduler_.footprint().flows, 1'000U);
  AddWorker(10);
  EXPECT_EQ(RunTasks(1'000).size(), 1'000U);
  EXPECT_EQ(scheduler_.footprint().flows, 0U);
}

class HoldTest : public SchedulerTest {
 protected:
  static TaskSpec Of(ClientKey client, int32_t priority = 0) {
    return TaskSpec{.client = client, .priority = priority};
  }
};

TEST_F(HoldTest, NothingOfAHeldClientBeginsOthersGoOn) {
  scheduler_.HoldClient(1, true, now_);
  Submit(1, Of(1, /*priority=*/5));
  Submit(2, Of(2));
  AddWorker(10);
  EXPECT_THAT(Take(), ElementsAre("dispatch 2 w10 notify"));
  Finish(10, 2);
  EXPECT_THAT(Take(), ElementsAre("state 2 SUCCEEDED COMPLETED", "idle w10"));
  EXPECT_EQ(scheduler_.counts(kPool).queued, 1U);
  scheduler_.HoldClient(1, false, now_);
  EXPECT_THAT(Take(), ElementsAre("dispatch 1 w10 notify"));
}

TEST_F(HoldTest, WhatWasQueuedBeforeIsHeldTooAndKeepsItsOrder) {
  Submit(1, Of(1));
  Submit(2, Of(1));
  Submit(3, Of(2));
  scheduler_.HoldClient(1, true, now_);
  AddWorker(10);
  EXPECT_THAT(Take(), ElementsAre("dispatch 3 w10 notify"));
  scheduler_.HoldClient(1, false, now_);
  Finish(10, 3);
  EXPECT_THAT(Take(), ElementsAre("state 3 SUCCEEDED COMPLETED", "dispatch 1 w10 notify"));
  Finish(10, 1);
  EXPECT_THAT(Take(), ElementsAre("state 1 SUCCEEDED COMPLETED", "dispatch 2 w10 notify"));
}

TEST_F(HoldTest, ReturnedAndDedicatedTasksAreHeldAsWell) {
  AddWorker(10);
  Submit(1, Of(1));
  Take();
  scheduler_.HoldClient(1, true, now_);
  TaskSpec dedicated = Of(1);
  dedicated.dedicated = true;
  Submit(2, dedicated);
  Die(10, kNone);
  AddWorker(11);
  EXPECT_THAT(Take(), ElementsAre("state 1 QUEUED"));
  scheduler_.HoldClient(1, false, now_);
  EXPECT_THAT(Take(), ElementsAre("start worker for 2", "dispatch 1 w11 notify"));
}

TEST_F(HoldTest, HeldTasksCanBeCancelledAndExpire) {
  scheduler_.HoldClient(1, true, now_);
  Submit(1, Of(1));
  TaskSpec expiring = Of(1);
  expiring.queue_timeout_ns = kSecond;
  Submit(2, expiring);
  Cancel(1);
  EXPECT_THAT(Take(), ElementsAre("state 1 CANCELLED CANCELLED_BY_CLIENT"));
  Advance(kSecond);
  EXPECT_THAT(Take(), ElementsAre("state 2 TIMED_OUT QUEUE_EXPIRED"));
}

}  // namespace
}  // namespace prefork::scheduler
