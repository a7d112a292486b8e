#include "server/engine/session.h"

#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/engine/recording_sink.h"

namespace prefork::engine {
namespace {

using scheduler::TaskState;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class SessionTest : public ::testing::Test {
 protected:
  static constexpr size_t kMaxUndelivered = 1 << 20;

  SessionTest() { Open({}, 1000); }

  void Open(SessionOptions options, size_t max_unfinished) {
    session_ = std::make_unique<Session>(1, 0, std::move(options), 1, &sink_, &tasks_,
                                         SessionLimits{max_unfinished, kMaxUndelivered});
  }
  TaskSlot Accept(uint64_t tag) {
    const TaskSlot slot = tasks_.Add();
    tasks_.at(slot).options = std::make_shared<TaskOptions>();
    session_->Attach(slot, tag);
    session_->AddAccepted(tag, tasks_.at(slot).id);
    return slot;
  }
  EventLog::Entry EntryOf(TaskSlot slot, TaskState state) {
    tasks_.at(slot).state = state;
    EventLog::Entry entry;
    entry.task = tasks_.at(slot).id;
    entry.state = state;
    entry.kind =
        scheduler::IsTerminal(state) ? EventRecord::Kind::kFinished : EventRecord::Kind::kState;
    return entry;
  }
  void State(TaskSlot slot, TaskState state) {
    session_->AddState(slot, ++sequence_, EntryOf(slot, state));
  }
  void Finish(TaskSlot slot, TaskState state = TaskState::kSucceeded) {
    session_->AddFinished(slot, ++sequence_, EntryOf(slot, state));
  }
  void Output(TaskSlot slot, size_t bytes) {
    EventRecord event;
    event.kind = EventRecord::Kind::kOutput;
    event.task = tasks_.at(slot).id;
    event.data = std::make_shared<const std::string>(bytes, 'x');
    session_->AddOther(slot, event);
  }
  std::vector<TaskSlot> Flush() {
    std::vector<TaskSlot> delivered;
    session_->Flush(&delivered);
    return delivered;
  }
  void FlushAll() {
    size_t flushes = sink_.flushes;
    do {
      flushes = sink_.flushes;
      Flush();
      session_->SetWritable();
    } while (sink_.flushes != flushes);
  }

  TaskTable tasks_{1};
  RecordingSink sink_;
  std::unique_ptr<Session> session_;
  uint64_t sequence_ = 0;
};

TEST_F(SessionTest, ConsecutiveTagsAreAcceptedAsOneRange) {
  for (uint64_t tag = 5; tag < 10; ++tag) Accept(tag);
  Accept(20);
  Flush();
  EXPECT_THAT(sink_.accepted, SizeIs(6));
  EXPECT_EQ(sink_.accepted[9], 5u);
  EXPECT_EQ(sink_.accepted[20], 6u);
  EXPECT_EQ(sink_.flushes, 1u);
}

TEST_F(SessionTest, HoldsEverythingBackUntilTheSinkIsWritableAgain) {
  Accept(1);
  Flush();
  Accept(2);
  EXPECT_THAT(Flush(), IsEmpty());
  EXPECT_THAT(sink_.accepted, SizeIs(1));
  session_->SetWritable();
  Flush();
  EXPECT_THAT(sink_.accepted, SizeIs(2));
}

TEST_F(SessionTest, AsksTheSinkWhenThereIsMoreForIt) {
  Accept(1);
  Flush();
  Accept(2);
  Flush();
  EXPECT_EQ(sink_.flushes, 1u);
  EXPECT_FALSE(session_->drained());
  sink_.takes_more = true;
  Flush();
  EXPECT_EQ(sink_.flushes, 2u);
  EXPECT_THAT(sink_.accepted, SizeIs(2));
  EXPECT_TRUE(session_->drained());
}

TEST_F(SessionTest, AnEndIsDeliveredOnceAndReleasesTheTask) {
  const TaskSlot slot = Accept(1);
  Finish(slot);
  EXPECT_EQ(session_->task_count(), 1u);
  EXPECT_THAT(Flush(), ElementsAre(slot));
  EXPECT_THAT(sink_.ends, SizeIs(1));
  EXPECT_EQ(session_->task_count(), 0u);
  EXPECT_EQ(tasks_.at(slot).session, kNone);
}

TEST_F(SessionTest, AFlushIsBoundedAndNoEndIsLost) {
  sink_.event_bytes = 64 << 10;
  std::vector<TaskSlot> slots;
  for (uint64_t tag = 0; tag < 50; ++tag) slots.push_back(Accept(tag));
  for (const TaskSlot slot : slots) Finish(slot);
  Flush();
  EXPECT_LE(sink_.ends.size(), 4u);
  session_->SetWritable();
  FlushAll();
  EXPECT_THAT(sink_.ends, SizeIs(50));
}

TEST_F(SessionTest, StatesAreSentOnlyWhenAskedFor) {
  State(Accept(1), TaskState::kRunning);
  Flush();
  EXPECT_THAT(sink_.events, IsEmpty());
  SessionOptions options;
  options.states = true;
  Open(options, 1000);
  State(Accept(2), TaskState::kRunning);
  Flush();
  EXPECT_THAT(sink_.events, SizeIs(1));
}

TEST_F(SessionTest, AClientThatDoesNotReadCostsStatesAndOutputButNoEnds) {
  SessionOptions options;
  options.states = options.output = true;
  Open(options, 1'000'000);
  Accept(0);
  Flush();  // never writable from here on
  const TaskSlot slot = Accept(1);
  for (int i = 0; i < 100'000; ++i) State(slot, TaskState::kRunning);
  for (int i = 0; i < 100; ++i) Output(slot, 1 << 20);
  std::vector<TaskSlot> slots;
  for (uint64_t tag = 10; tag < 10'010; ++tag) slots.push_back(Accept(tag));
  for (const TaskSlot s : slots) Finish(s);
  session_->SetWritable();
  FlushAll();
  EXPECT_LT(sink_.events.size(), 20'000u);
  EXPECT_THAT(sink_.ends, SizeIs(10'000));
}

TEST_F(SessionTest, WithoutCreditStatesAndOutputAreBoundedToo) {
  SessionOptions options;
  options.states = options.output = true;
  Open(options, 1000);
  sink_.takes_events = false;
  const TaskSlot slot = Accept(1);
  for (int i = 0; i < 100'000; ++i) State(slot, TaskState::kRunning);
  for (int i = 0; i < 100; ++i) Output(slot, 1 << 20);
  FlushAll();
  sink_.takes_events = true;
  FlushAll();
  EXPECT_LT(sink_.events.size(), 20'000u);
}

TEST_F(SessionTest, ATaskThatWasTakenOverIsSilentHere) {
  SessionOptions options;
  options.states = options.output = true;
  Open(options, 1000);
  const TaskSlot slot = Accept(1);
  State(slot, TaskState::kRunning);
  Output(slot, 10);
  Finish(slot);
  session_->Detach(slot);
  tasks_.Remove(slot);
  while (tasks_.Add() != slot) continue;  // it stands for another task now
  FlushAll();
  EXPECT_THAT(sink_.events, IsEmpty());
  EXPECT_THAT(sink_.ends, IsEmpty());
}

TEST_F(SessionTest, ReadingStopsOverTheShareAndGoesOnAtThreeQuarters) {
  Open({}, 100);
  std::vector<TaskSlot> slots;
  for (uint64_t tag = 0; tag <= 100; ++tag) slots.push_back(Accept(tag));
  session_->UpdateReading();
  EXPECT_TRUE(sink_.paused);
  for (int i = 0; i < 25; ++i) session_->Detach(slots[i]);
  session_->UpdateReading();
  EXPECT_TRUE(sink_.paused) << "76 are left";
  session_->Detach(slots[25]);
  session_->UpdateReading();
  EXPECT_FALSE(sink_.paused);
}

TEST_F(SessionTest, UnreadRejectionsStopTheReadingLikeTasks) {
  Open({}, 100);
  Accept(0);
  Flush();  // not writable from here on
  for (uint64_t tag = 1; tag <= 100; ++tag) session_->AddRejected(tag, absl::NotFoundError("x"));
  session_->UpdateReading();
  EXPECT_TRUE(sink_.paused);
  session_->SetWritable();
  Flush();
  session_->SetWritable();
  session_->UpdateReading();
  EXPECT_FALSE(sink_.paused);
  EXPECT_THAT(sink_.rejected, SizeIs(100));
}

TEST_F(SessionTest, AFlushOfRejectionsIsBounded) {
  sink_.event_bytes = 64 << 10;
  for (uint64_t tag = 0; tag < 50; ++tag) session_->AddRejected(tag, absl::NotFoundError("x"));
  Flush();
  EXPECT_LE(sink_.rejected.size(), 4u);
  session_->SetWritable();
  FlushAll();
  EXPECT_THAT(sink_.rejected, SizeIs(50));
}

TEST_F(SessionTest, WhatIsLeftAfterAFlushIsAskedFor) {
  sink_.event_bytes = 64 << 10;
  sink_.takes_more = true;
  for (uint64_t tag = 0; tag < 50; ++tag) session_->AddRejected(tag, absl::NotFoundError("x"));
  Flush();
  EXPECT_THAT(sink_.rejected, SizeIs(50));
  EXPECT_GT(sink_.flushes, 10u);
}

TEST_F(SessionTest, UnreadResultsStopTheReadingByTheirBytesAndLoseTheirOutput) {
  Accept(100);
  Flush();  // not writable from here on
  std::vector<TaskSlot> slots;
  for (uint64_t tag = 0; tag < 3; ++tag) {
    slots.push_back(Accept(tag));
    tasks_.at(slots.back()).EnsureOutcome().value = Bytes(std::string(kMaxUndelivered / 2, 'v'));
    auto& output = tasks_.at(slots.back()).EnsureDetail().output[0];
    output = std::make_unique<OutputBuffer>(1000);
    output->Append("what it wrote");
  }
  Finish(slots[0]);
  session_->UpdateReading();
  EXPECT_FALSE(sink_.paused);
  EXPECT_THAT(tasks_.at(slots[0]).detail->output[0]->Read(0), SizeIs(1));
  Finish(slots[1]);
  Finish(slots[2]);
  session_->UpdateReading();
  EXPECT_TRUE(sink_.paused);
  EXPECT_THAT(tasks_.at(slots[2]).detail->output[0]->Read(0), IsEmpty());
  EXPECT_EQ(tasks_.at(slots[2]).detail->output[0]->total_bytes(), 13u);
  session_->Detach(slots[1]);  // taken over
  session_->SetWritable();
  FlushAll();
  session_->UpdateReading();
  EXPECT_FALSE(sink_.paused);
  EXPECT_THAT(sink_.ends, SizeIs(2));
}

TEST_F(SessionTest, VerdictsNeedNoCreditAndEventsWaitForIt) {
  sink_.takes_events = false;
  const TaskSlot slot = Accept(1);
  Finish(slot);
  session_->AddRejected(2, absl::NotFoundError("x"));
  FlushAll();
  EXPECT_THAT(sink_.accepted, SizeIs(1));
  EXPECT_THAT(sink_.rejected, SizeIs(1));
  EXPECT_THAT(sink_.ends, IsEmpty());
  sink_.takes_events = true;
  FlushAll();
  EXPECT_THAT(sink_.ends, SizeIs(1));
}

TEST_F(SessionTest, ASessionWithoutCreditIsReadAndItsSubmitsAreRefused) {
  Open({}, 10);
  sink_.takes_events = false;
  for (uint64_t tag = 0; tag <= 10; ++tag) Accept(tag);
  session_->UpdateReading();
  EXPECT_FALSE(sink_.paused) << "its credit comes the same way";
  EXPECT_TRUE(session_->refuses_submits());
  sink_.takes_events = true;
  session_->UpdateReading();
  EXPECT_TRUE(sink_.paused);
  EXPECT_FALSE(session_->refuses_submits());
}

TEST_F(SessionTest, EarlierAttemptsAreToldOnlyWithAReport) {
  const TaskSlot plain = Accept(1);
  tasks_.at(plain).EnsureDetail().earlier.resize(2);
  Finish(plain);
  const TaskSlot failed = Accept(2);
  tasks_.at(failed).EnsureDetail().earlier.resize(2);
  tasks_.at(failed).EnsureOutcome().report = std::make_unique<ExitReport>();
  Finish(failed, TaskState::kFailed);
  FlushAll();
  EXPECT_THAT(sink_.FindEnd(1)->earlier, IsEmpty());
  EXPECT_THAT(sink_.FindEnd(2)->earlier, SizeIs(2));
}

TEST_F(SessionTest, FindsItsTasksByTagWhateverTheOrderOfTags) {
  std::map<uint64_t, TaskSlot> model;
  for (const uint64_t tag : {7, 8, 9, 3, 4, 1'000'000, 5}) model[tag] = Accept(tag);
  for (const auto& [tag, slot] : model) EXPECT_EQ(session_->FindTag(tag), slot) << tag;
  EXPECT_EQ(session_->FindTag(6), kNone);
  EXPECT_EQ(session_->FindTag(0), kNone);
  session_->Detach(model[8]);
  EXPECT_EQ(session_->FindTag(8), kNone);
  EXPECT_EQ(session_->FindTag(9), model[9]);
}

// Tags of tasks that left are forgotten from time to time; those of the others never.
TEST_F(SessionTest, FindsWhatStaysAmongManyThatLeave) {
  std::map<uint64_t, TaskSlot> model;
  for (uint64_t i = 0; i < 10'000; ++i) {
    const uint64_t tag = i * 10;  // no ranges
    const TaskSlot slot = Accept(tag);
    if (i % 100 == 0) {
      model[tag] = slot;
    } else {
      session_->Detach(slot);
    }
  }
  for (uint64_t i = 0; i < 10'000; ++i) {
    const auto kept = model.find(i * 10);
    EXPECT_EQ(session_->FindTag(i * 10), kept == model.end() ? kNone : kept->second) << i;
  }
}

}  // namespace
}  // namespace prefork::engine
