// When a session hears of its tasks, and what becomes of them when it goes.
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/engine/engine_impl.h"
#include "server/engine/errors.h"
#include "tests/server/engine/engine_pass_bed.h"
#include "tests/server/engine/recording_sink.h"

namespace prefork::engine {
namespace {

using scheduler::TaskState;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class EngineSessionsTest : public EnginePassBed {};

TEST_F(EngineSessionsTest, AResultWaitsForItsSessionWhateverTheBounds) {
  FakeWorker& worker = native().AddWorker();
  RecordingSink sink;
  const SessionId session = OpenSession(&sink);
  TaskOptions options;
  options.result_ttl = absl::ZeroDuration();
  engine_->SubmitBatch(session, {Function("native", options)});
  Pass();  // the acceptance went out; the sink is not writable any more
  const TaskId id = sink.accepted[0];
  Claim(worker);
  worker.Finish(id, "precious");
  Pass();
  Advance(absl::Hours(10));
  EXPECT_THAT(sink.ends, IsEmpty());
  EXPECT_TRUE(engine_->Get(kRoot, id).ok());
  engine_->SinkWritable(session);
  Pass();
  ASSERT_THAT(sink.ends, SizeIs(1));
  EXPECT_EQ(sink.ends[0].value, "precious");
  EXPECT_FALSE(engine_->Get(kRoot, id).ok()) << "delivered, and its time is over";
  engine_->CloseSession(session);
}

TEST_F(EngineSessionsTest, ASessionIsToldWhenAnotherOneTakesItsTaskOver) {
  FakeWorker& worker = native().AddWorker();
  RecordingSink first_sink;
  RecordingSink second_sink;
  const SessionId first = OpenSession(&first_sink);
  TaskSubmission task = Function("native");
  task.tag = 7;
  engine_->SubmitBatch(first, {task});
  Pass();
  engine_->SinkWritable(first);
  const TaskId id = first_sink.accepted[7];
  SessionOptions resuming;
  resuming.resume = {id};
  const SessionId second = OpenSession(&second_sink, resuming);
  Pass();
  engine_->SinkWritable(second);
  ASSERT_TRUE(first_sink.rejected.contains(7));
  EXPECT_EQ(first_sink.rejected[7].code(), absl::StatusCode::kAborted);
  EXPECT_EQ(ReasonOf(first_sink.rejected[7]), reason::kTakenOver);
  Claim(worker);
  worker.Finish(id);
  Pass();
  EXPECT_THAT(first_sink.ends, IsEmpty());
  ASSERT_THAT(second_sink.ends, SizeIs(1));
  EXPECT_EQ(second_sink.ends[0].task, id);
  engine_->CloseSession(first);
  engine_->CloseSession(second);
}

TEST_F(EngineSessionsTest, ATaskOfNoSessionOutlivesTheSessionThatResumesIt) {
  const TaskId id = Submit();
  RecordingSink sink;
  SessionOptions resuming;
  resuming.resume = {id};
  engine_->CloseSession(OpenSession(&sink, resuming));
  Pass();
  EXPECT_EQ(Info(id).state, TaskState::kQueued);
}

// A session with one task for which the engine stays awake.
class EngineLingerTest : public EnginePassBed {
 protected:
  EngineLingerTest() {
    EngineOptions options;
    options.usable_cpus = 2;
    StartWithPools(options);
    worker_ = &native().AddWorker();
    engine_->SubmitBatch(OpenSession(&sink_), {Function("native")});
    Pass();
  }

  RecordingSink sink_;
  FakeWorker* worker_;
};

TEST_F(EngineLingerTest, AQuickResultGoesOutWithItsVerdict) {
  EXPECT_EQ(sink_.flushes, 0u);
  worker_->Finish(Claim(*worker_), "quick");
  Pass();
  EXPECT_THAT(sink_.accepted, SizeIs(1));
  EXPECT_THAT(sink_.ends, SizeIs(1));
  EXPECT_EQ(sink_.flushes, 1u);
}

TEST_F(EngineLingerTest, AVerdictDoesNotWaitForASlowResult) {
  EXPECT_THAT(sink_.accepted, IsEmpty());
  Advance(absl::Milliseconds(1));
  EXPECT_THAT(sink_.accepted, SizeIs(1));
  EXPECT_EQ(sink_.flushes, 1u);
}

}  // namespace
}  // namespace prefork::engine
