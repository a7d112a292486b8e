// What there is no room for: a segment in a worker's control socket, an entry in its lane, a value.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/engine/engine_impl.h"
#include "tests/server/engine/engine_pass_bed.h"

namespace prefork::engine {
namespace {

using scheduler::TaskState;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class EngineRoomTest : public EnginePassBed {
 protected:
  // A task whose payload travels in a segment.
  TaskId SubmitLarge() {
    const auto large = engine_->Pack(std::string(100'000, 'x'), 0);
    EXPECT_TRUE(large.ok()) << large.status();
    return large.ok() ? Submit({}, *large) : 0;
  }
  // Large tasks one by one, all finished but none released, until one finds no room. Returns it.
  TaskId FillWithFinishedTasks(FakeWorker& worker) {
    for (int i = 0; i < 100; ++i) {
      const TaskId id =
          Submit({}, Bytes(std::string(engine_->options().inline_threshold_bytes, 'x')));
      if (Claim(worker) == 0) return id;
      worker.Write(shm::RecordKind::kFinished, FakeWorker::Success(id));
      Pass();
    }
    ADD_FAILURE() << "the lane never became full";
    return 0;
  }
};

TEST_F(EngineRoomTest, AWorkerThatDoesNotTakeASegmentIsReplacedAndItsTaskRunsElsewhere) {
  FakeWorker& deaf = native().AddWorker();
  deaf.send_result = absl::UnavailableError("its control socket is full");
  const TaskId id = SubmitLarge();
  ASSERT_NE(id, 0u);
  EXPECT_EQ(Info(id).state, TaskState::kQueued);
  EXPECT_THAT(native().retired, ElementsAre(0u));
  FakeWorker& other = native().AddWorker();
  Pass();
  EXPECT_EQ(Claim(other), id);
  EXPECT_THAT(other.segments, SizeIs(1));
}

TEST_F(EngineRoomTest, ATaskMeantForAWorkerThatHasJustDiedRunsElsewhere) {
  FakeWorker& dead = native().AddWorker();
  dead.send_result = absl::AbortedError("the other side has closed the socket");
  const TaskId id = SubmitLarge();
  ASSERT_NE(id, 0u);
  EXPECT_EQ(Info(id).state, TaskState::kQueued);
  native().EndWorker(dead, Killed(SIGKILL, pool::ExitReason::kCrashed));
  FakeWorker& other = native().AddWorker();
  Pass();
  EXPECT_EQ(Claim(other), id);
}

TEST_F(EngineRoomTest, RoomForAValueIsGivenToARunningTaskOnly) {
  FakeWorker& worker = native().AddWorker();
  native().observer().OnSegmentRequest(worker, 100'000);
  EXPECT_EQ(worker.denied, "no task is running");
  const TaskId id = Submit();
  Claim(worker);
  native().observer().OnSegmentRequest(worker, uint64_t{1} << 60);
  EXPECT_THAT(worker.denied, HasSubstr("the largest is"));
  native().observer().OnSegmentRequest(worker, 100'000);
  ASSERT_NE(worker.granted, nullptr);
  shm::FinishedRecord record = FakeWorker::Success(id);
  record.segment_id = worker.granted->id();
  record.value_bytes = 100'000;
  worker.Write(shm::RecordKind::kFinished, record);
  Pass();
  EXPECT_EQ(Info(id).value.size(), 100'000u);
}

TEST_F(EngineRoomTest, ARequestForRoomIsAnsweredWhateverHappens) {
  FakeWorker& worker = native().AddWorker();
  Submit();
  Claim(worker);
  worker.send_result = absl::AbortedError("it is dead");
  native().observer().OnSegmentRequest(worker, 100'000);
  EXPECT_EQ(worker.denied, "") << "it needs no answer";
  worker.send_result = absl::ResourceExhaustedError("too many descriptors");
  native().observer().OnSegmentRequest(worker, 100'000);
  EXPECT_EQ(worker.denied, "too many descriptors");
  EXPECT_EQ(worker.kill_reason, pool::ExitReason::kNone);
  worker.deny_result = absl::ResourceExhaustedError("no memory for the message");
  native().observer().OnSegmentRequest(worker, 100'000);
  EXPECT_EQ(worker.kill_reason, pool::ExitReason::kTaskStopped);
  EXPECT_THAT(worker.kill_detail, HasSubstr("no memory for the message"));
}

TEST_F(EngineRoomTest, AStoppedWorkerIsNotBlamedForItsFullLane) {
  FakeWorker& worker = native().AddWorker();
  worker.process = fork();
  if (worker.process == 0) {
    raise(SIGSTOP);
    _exit(0);
  }
  ASSERT_EQ(waitpid(worker.process, nullptr, WUNTRACED), worker.process);
  const TaskId last = FillWithFinishedTasks(worker);
  Advance(absl::Seconds(2));
  EXPECT_EQ(worker.kill_reason, pool::ExitReason::kNone) << worker.kill_detail;
  EXPECT_EQ(Info(last).state, TaskState::kQueued);
  ASSERT_EQ(kill(worker.process, SIGKILL), 0);
  ASSERT_EQ(waitpid(worker.process, nullptr, 0), worker.process);
}

// The kernel takes no descriptor for the worker: `id_` waits for a segment to be sent.
class ShortageTest : public EngineRoomTest {
 protected:
  ShortageTest() : worker_(native().AddWorker()) {
    worker_.send_result = absl::ResourceExhaustedError("sendmsg: too many references");
    id_ = SubmitLarge();
    EXPECT_NE(id_, 0u);
  }

  FakeWorker& worker_;
  TaskId id_ = 0;
};

TEST_F(ShortageTest, AShortageOfTheDaemonIsWaitedForAndNoFaultOfTheWorker) {
  Advance(absl::Minutes(1));
  EXPECT_EQ(worker_.kill_reason, pool::ExitReason::kNone) << worker_.kill_detail;
  EXPECT_THAT(native().retired, IsEmpty());
  EXPECT_EQ(Claim(worker_), 0u);
  worker_.send_result = absl::OkStatus();
  Advance(absl::Seconds(1));  // the longest that it may rest meanwhile
  EXPECT_EQ(Claim(worker_), id_);
}

TEST_F(ShortageTest, ATaskThatWaitsForAShortageCanBeCancelled) {
  ASSERT_TRUE(engine_->Cancel(kRoot, id_, false).ok());
  Pass();
  EXPECT_EQ(Info(id_).state, TaskState::kCancelled);
  worker_.send_result = absl::OkStatus();
  Advance(absl::Milliseconds(1));
  EXPECT_EQ(Claim(worker_), 0u);
}

// A worker publishes its results first and gives the room back afterwards: `last_` waits for it.
class FullLaneTest : public EngineRoomTest {
 protected:
  FullLaneTest() : worker_(native().AddWorker()), last_(FillWithFinishedTasks(worker_)) {}

  FakeWorker& worker_;
  const TaskId last_;
};

TEST_F(FullLaneTest, AWorkerThatIsAboutToGiveRoomBackIsWaitedFor) {
  EXPECT_EQ(worker_.kill_reason, pool::ExitReason::kNone) << worker_.kill_detail;
  worker_.guest().down().Release();
  Advance(absl::Milliseconds(1));
  EXPECT_EQ(Claim(worker_), last_);
}

TEST_F(FullLaneTest, AWorkerThatTakesLongToGiveRoomBackRestsMeanwhile) {
  Advance(absl::Milliseconds(900));
  EXPECT_EQ(worker_.kill_reason, pool::ExitReason::kNone) << worker_.kill_detail;
  EXPECT_EQ(Info(last_).state, TaskState::kQueued);
  worker_.guest().down().Release();
  Advance(absl::Milliseconds(100));
  EXPECT_EQ(Claim(worker_), last_);
}

TEST_F(FullLaneTest, AWorkerThatNeverGivesRoomBackIsReplacedAndItsTaskRunsElsewhere) {
  Advance(absl::Seconds(2));
  EXPECT_EQ(worker_.kill_reason, pool::ExitReason::kProtocolViolation);
  EXPECT_THAT(worker_.kill_detail, HasSubstr("does not give the room"));
  FakeWorker& other = native().AddWorker();
  Pass();
  EXPECT_EQ(Claim(other), last_);
}

}  // namespace
}  // namespace prefork::engine
