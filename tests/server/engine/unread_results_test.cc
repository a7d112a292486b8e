// Clients that do not read what they are sent.
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/engine/engine_impl.h"
#include "tests/server/engine/engine_pass_bed.h"
#include "tests/server/engine/recording_sink.h"

namespace prefork::engine {
namespace {

using scheduler::TaskState;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// Sessions whose results may take 100 kB.
class UnreadResultsTest : public EnginePassBed {
 protected:
  static constexpr size_t kMaxBytes = 100'000;
  static constexpr size_t kValueBytes = 10'000;

  UnreadResultsTest() {
    EngineOptions options;
    options.max_session_undelivered_bytes = kMaxBytes;
    StartWithPools(options);
  }
  SessionId Open(const std::string& client_name, EventSink* sink, size_t tasks) {
    SessionOptions options;
    options.client_name = client_name;
    const SessionId session = OpenSession(sink, options);
    std::vector<TaskSubmission> batch(tasks);
    for (size_t i = 0; i < tasks; ++i) {
      batch[i] = Function("native");
      batch[i].tag = i;
    }
    engine_->SubmitBatch(session, std::move(batch));
    Pass();
    return session;
  }
  // Runs what the worker is given, at most `most` tasks; returns how many that were.
  size_t Work(FakeWorker& worker, size_t most = 1'000) {
    for (size_t done = 0; done < most; ++done) {
      const TaskId id = Claim(worker);
      if (id == 0) return done;
      worker.Finish(id, std::string(kValueBytes, 'v'));
      Pass();
    }
    return most;
  }
};

TEST_F(UnreadResultsTest, AClientThatDoesNotReadGetsNoMoreWorkAndOthersDo) {
  FakeWorker& worker = native().AddWorker();
  RecordingSink sink;
  const SessionId session = Open("slow", &sink, 100);  // its sink has taken the verdicts
  const size_t before = Work(worker);
  EXPECT_GE(before, kMaxBytes / kValueBytes - 1);
  EXPECT_LT(before, 2 * kMaxBytes / kValueBytes);
  EXPECT_TRUE(sink.paused);
  const TaskId other = Submit();
  EXPECT_EQ(Claim(worker), other);
  worker.Finish(other);
  Pass();
  EXPECT_EQ(Info(other).state, TaskState::kSucceeded);
  // It reads again: all its tasks have their ends, none is lost.
  for (int i = 0; i < 100 && sink.ends.size() < 100; ++i) {
    engine_->SinkWritable(session);
    Pass();
    Work(worker);
  }
  EXPECT_THAT(sink.ends, SizeIs(100));
  EXPECT_FALSE(sink.closed.has_value());
  EXPECT_FALSE(sink.paused);
}

TEST_F(UnreadResultsTest, WhatOutlivesTheSessionRunsWhenItIsGone) {
  FakeWorker& worker = native().AddWorker();
  RecordingSink sink;
  const SessionId session = Open("slow", &sink, 100);
  Work(worker);
  TaskOptions detached;
  detached.detached = true;
  TaskSubmission task = Function("native", detached);
  task.tag = 1'000;
  engine_->SubmitBatch(session, {task});
  Pass();
  EXPECT_EQ(Claim(worker), 0u);
  engine_->CloseSession(session);
  Pass();
  EXPECT_EQ(Work(worker), 1u);
}

TEST_F(UnreadResultsTest, ASessionBesideOthersOfItsClientIsEndedInstead) {
  FakeWorker& worker = native().AddWorker();
  RecordingSink beside;
  RecordingSink sink;
  Open("program", &beside, 0);
  Open("program", &sink, 100);
  Work(worker, 3 * kMaxBytes / kValueBytes);
  EXPECT_FALSE(sink.closed.has_value()) << "the other one would wait, too";
  Work(worker);
  ASSERT_TRUE(sink.closed.has_value());
  EXPECT_TRUE(absl::IsResourceExhausted(*sink.closed));
  EXPECT_THAT(std::string(sink.closed->message()), HasSubstr("that its client does not read"));
  EXPECT_FALSE(beside.closed.has_value());
}

}  // namespace
}  // namespace prefork::engine
