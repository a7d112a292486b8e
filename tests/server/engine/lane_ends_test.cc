// LaneFeeder, LaneDrainer, WorkerLink: both ends of a lane, against a worker that a test plays.
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/engine/lane_drainer.h"
#include "server/engine/lane_feeder.h"
#include "tests/server/engine/fake_worker.h"

namespace prefork::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

struct Listener : LaneListener {
  void OnTaskStarted(WorkerLink&, const InFlight& task, int64_t) override {
    started.push_back(task.id);
  }
  void OnTaskFinished(WorkerLink&, const InFlight& task, FinishedReport report) override {
    finished.emplace_back(task.id, std::move(report));
  }
  void OnTaskProgress(WorkerLink&, const InFlight&, ProgressReport report) override {
    progress.push_back(std::move(report));
    if (on_progress) on_progress();
  }
  void OnTaskPartial(WorkerLink&, const InFlight&, std::string value, std::string) override {
    partials.push_back(std::move(value));
  }
  void OnNonsense(WorkerLink&, std::string what) override { nonsense.push_back(std::move(what)); }

  std::function<void()> on_progress;
  std::vector<TaskId> started;
  std::vector<std::pair<TaskId, FinishedReport>> finished;
  std::vector<ProgressReport> progress;
  std::vector<std::string> partials;
  std::vector<std::string> nonsense;
};

class LaneEndsTest : public ::testing::Test {
 protected:
  LaneEndsTest() {
    auto options = std::make_shared<TaskOptions>();
    options->function = "f";
    options->content_type = "text/plain";
    options_ = options;
  }
  // A record as the table has it.
  TaskRecord Record(TaskId id, Bytes payload = Bytes("payload")) {
    TaskRecord record;
    record.id = id;
    record.options = options_;
    record.payload = std::move(payload);
    return record;
  }
  FeedResult Feed(const TaskRecord& record, uint32_t attempt = 1) {
    return FeedLane(link_, static_cast<TaskSlot>(record.id), record, attempt, 0, &why_);
  }
  FeedResult Feed(TaskId id, uint32_t attempt = 1) { return Feed(Record(id), attempt); }
  // Feeds one task that the worker has claimed.
  void FeedClaimed(TaskId id) {
    ASSERT_EQ(Feed(id), FeedResult::kFed);
    PublishLane(link_);
    ASSERT_TRUE(worker_.Claim().has_value());
  }
  // The one complaint after draining.
  std::string Nonsense() {
    DrainLane(link_, listener_);
    EXPECT_TRUE(link_.poisoned);
    EXPECT_THAT(listener_.nonsense, SizeIs(1));
    return listener_.nonsense.empty() ? "" : listener_.nonsense[0];
  }

  FakeWorker worker_{0, 1};
  WorkerLink link_{7, 0, &worker_};
  Listener listener_;
  std::shared_ptr<const TaskOptions> options_;
  std::string why_;  // the last task was not fed
};

TEST_F(LaneEndsTest, CarriesTasksDownAndResultsUpInOrder) {
  ASSERT_EQ(Feed(1), FeedResult::kFed);
  ASSERT_EQ(Feed(2, 3), FeedResult::kFed);
  EXPECT_FALSE(worker_.Claim().has_value()) << "not before it is published";
  PublishLane(link_);
  const auto first = worker_.Claim();
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->fields.task_id, 1u);
  EXPECT_EQ(first->function, "f");
  EXPECT_EQ(first->content_type, "text/plain");
  EXPECT_EQ(first->payload, "payload");
  worker_.Finish(1, "one");
  EXPECT_EQ(worker_.Claim()->fields.attempt, 3u);
  worker_.Fail(2, "no \xff good");
  EXPECT_EQ(DrainLane(link_, listener_), 2u);
  ASSERT_THAT(listener_.finished, SizeIs(2));
  EXPECT_EQ(listener_.finished[0].second.value.view(), "one");
  EXPECT_EQ(listener_.finished[1].first, 2u);
  EXPECT_EQ(listener_.finished[1].second.error, "no \xef\xbf\xbd good") << "valid UTF-8";
  EXPECT_EQ(link_.depth(), 0u);
}

TEST_F(LaneEndsTest, OnlyUnclaimedTasksCanBeRevoked) {
  FeedClaimed(1);
  ASSERT_EQ(Feed(2), FeedResult::kFed);
  ASSERT_EQ(Feed(3), FeedResult::kFed);
  EXPECT_FALSE(RevokeFromLane(link_, 1)) << "claimed";
  EXPECT_TRUE(RevokeFromLane(link_, 2)) << "also when it was not published yet";
  EXPECT_FALSE(RevokeFromLane(link_, 2)) << "gone already";
  EXPECT_FALSE(RevokeFromLane(link_, 99));
  EXPECT_EQ(link_.depth(), 2u);
  worker_.Finish(1);
  EXPECT_EQ(worker_.Claim()->fields.task_id, 3u);
  worker_.Finish(3);
  DrainLane(link_, listener_);
  EXPECT_THAT(listener_.finished, SizeIs(2));
  EXPECT_THAT(listener_.nonsense, IsEmpty());
}

TEST_F(LaneEndsTest, AFullLaneRefusesAndForgetsTheTask) {
  size_t fed = 0;
  while (Feed(fed + 1) == FeedResult::kFed) ++fed;
  EXPECT_GT(fed, 100u);
  EXPECT_EQ(link_.depth(), fed);
  EXPECT_EQ(Feed(fed + 1), FeedResult::kLaneFull);
  EXPECT_THAT(why_, HasSubstr("no room for"));
  EXPECT_EQ(link_.Find(static_cast<TaskSlot>(fed + 1)), nullptr);
}

TEST_F(LaneEndsTest, ALargePayloadGoesAheadAndItsLeaseEndsWithTheTask) {
  const auto segments = shm::SegmentPool::Create({});
  const auto segment = segments->Lease(100'000, 0);
  ASSERT_TRUE(segment.ok());
  const TaskRecord record = Record(1, Bytes(*segment, 90'000));
  ASSERT_EQ(Feed(record), FeedResult::kFed);
  ASSERT_EQ(Feed(Record(2, record.payload)), FeedResult::kFed);
  EXPECT_THAT(worker_.segments, SizeIs(1)) << "sent before the record";
  PublishLane(link_);
  const auto task = worker_.Claim();
  EXPECT_EQ(task->fields.segment_id, (*segment)->id());
  EXPECT_EQ(task->fields.payload_bytes, 90'000u);
  worker_.Finish(1);
  DrainLane(link_, listener_);
  EXPECT_THAT(worker_.segments, SizeIs(1)) << "the next task needs it too";
  EXPECT_TRUE(RevokeFromLane(link_, 2));
  EXPECT_THAT(worker_.segments, IsEmpty());
}

TEST_F(LaneEndsTest, APayloadThatCanNotBeSentLeavesNoTrace) {
  const auto segments = shm::SegmentPool::Create({});
  const auto segment = segments->Lease(100'000, 0);
  const TaskRecord record = Record(1, Bytes(*segment, 9));
  worker_.send_result = absl::UnavailableError("its buffer is full");
  EXPECT_EQ(Feed(record), FeedResult::kUnreachable);
  EXPECT_EQ(why_, "its buffer is full");
  worker_.send_result = absl::AbortedError("it is dead");
  EXPECT_EQ(Feed(record), FeedResult::kUnreachable);
  worker_.send_result = absl::ResourceExhaustedError("no memory");
  EXPECT_EQ(Feed(record), FeedResult::kShortage) << "that is no full lane";
  EXPECT_EQ(link_.depth(), 0u);
  PublishLane(link_);
  EXPECT_FALSE(worker_.Claim().has_value());
}

TEST_F(LaneEndsTest, ATaskThatNoLaneCouldHoldIsToldFromAFullLane) {
  const size_t most = worker_.lane().down().max_body_bytes() - LaneBytes(*options_, 0);
  EXPECT_EQ(Feed(Record(1, Bytes(std::string(most + 1, 'x')))), FeedResult::kNever);
  EXPECT_THAT(why_, HasSubstr("with its inline payload"));
  EXPECT_EQ(Feed(Record(2, Bytes(std::string(most, 'x')))), FeedResult::kFed);
}

TEST_F(LaneEndsTest, TheLargestInlinePayloadFitsWithTheLongestNames) {
  auto options = std::make_shared<TaskOptions>();
  options->function.assign(shm::kMaxFunctionBytes, 'f');
  options->content_type.assign(shm::kMaxContentTypeBytes, 't');
  options_ = options;
  EXPECT_EQ(Feed(Record(1, Bytes(std::string(shm::kMaxInlinePayloadBytes, 'x')))),
            FeedResult::kFed);
}

TEST_F(LaneEndsTest, AValueInALeasedSegmentIsTaken) {
  const auto segments = shm::SegmentPool::Create({});
  const auto segment = segments->Lease(100'000, 0);
  FeedClaimed(1);
  worker_.segments[(*segment)->id()] = *segment;
  shm::FinishedRecord record = FakeWorker::Success(1);
  record.segment_id = (*segment)->id();
  record.value_bytes = 80'000;
  worker_.Write(shm::RecordKind::kFinished, record);
  DrainLane(link_, listener_);
  ASSERT_THAT(listener_.finished, SizeIs(1));
  EXPECT_EQ(listener_.finished[0].second.value.size(), 80'000u);
  EXPECT_THAT(worker_.segments, IsEmpty());
}

TEST_F(LaneEndsTest, ProgressAndPartialResultsBelongToTheRunningTask) {
  FeedClaimed(1);
  worker_.Write(shm::RecordKind::kStarted, shm::StartedRecord{1, 5});
  shm::ProgressRecord progress = {1, std::numeric_limits<double>::quiet_NaN(), 4, 4};
  worker_.Write(shm::RecordKind::kProgress, progress, "half");
  shm::PartialRecord partial = {1, 0, 3, 0, 0};
  worker_.Write(shm::RecordKind::kPartial, partial, "abc");
  DrainLane(link_, listener_);
  EXPECT_THAT(listener_.started, ElementsAre(1));
  ASSERT_THAT(listener_.progress, SizeIs(1));
  EXPECT_EQ(listener_.progress[0].done, 0) << "no number is shown as zero";
  EXPECT_EQ(listener_.progress[0].text, "half");
  EXPECT_THAT(listener_.partials, ElementsAre("abc"));
  EXPECT_THAT(listener_.nonsense, IsEmpty());
}

TEST_F(LaneEndsTest, AWorkerThatWritesAsFastAsItIsReadDoesNotHoldTheEngine) {
  FeedClaimed(1);
  const shm::ProgressRecord progress = {1, 1, 4, 0};
  const size_t ring_records =
      shm::kRingBytes / (sizeof(shm::RecordHeader) + sizeof(shm::ProgressRecord));
  // The test ends the flood itself, should the drain not.
  listener_.on_progress = [&] {
    if (listener_.progress.size() < 4 * ring_records) {
      worker_.Write(shm::RecordKind::kProgress, progress);
    }
  };
  worker_.Write(shm::RecordKind::kProgress, progress);
  const size_t records = DrainLane(link_, listener_);
  EXPECT_GT(records, 0u);
  EXPECT_LE(records, ring_records + 1);
  EXPECT_GT(DrainLane(link_, listener_), 0u) << "the next pass goes on";
}

// --- what no worker may write ---

TEST_F(LaneEndsTest, AResultFromAnEmptyLaneIsNonsense) {
  worker_.Write(shm::RecordKind::kFinished, FakeWorker::Success(1));
  EXPECT_THAT(Nonsense(), HasSubstr("from an empty lane"));
}

TEST_F(LaneEndsTest, AResultOfATaskThatIsNotItsTurnIsNonsense) {
  FeedClaimed(1);
  ASSERT_EQ(Feed(2), FeedResult::kFed);
  worker_.Write(shm::RecordKind::kFinished, FakeWorker::Success(2));
  EXPECT_THAT(Nonsense(), HasSubstr("while it has to run task 1"));
}

TEST_F(LaneEndsTest, AResultOfAnUnclaimedTaskIsNonsense) {
  ASSERT_EQ(Feed(1), FeedResult::kFed);
  PublishLane(link_);
  worker_.Write(shm::RecordKind::kFinished, FakeWorker::Success(1));
  EXPECT_THAT(Nonsense(), HasSubstr("which it has not claimed"));
}

TEST_F(LaneEndsTest, ASecondStartIsNonsense) {
  FeedClaimed(1);
  worker_.Write(shm::RecordKind::kStarted, shm::StartedRecord{1, 5});
  worker_.Write(shm::RecordKind::kStarted, shm::StartedRecord{1, 5});
  EXPECT_THAT(Nonsense(), HasSubstr("a second start"));
}

TEST_F(LaneEndsTest, ASegmentItWasNeverGivenIsNonsense) {
  FeedClaimed(1);
  shm::FinishedRecord record = FakeWorker::Success(1);
  record.segment_id = 12;
  record.value_bytes = 5;
  worker_.Write(shm::RecordKind::kFinished, record);
  EXPECT_THAT(Nonsense(), HasSubstr("never given"));
}

TEST_F(LaneEndsTest, AValueLargerThanItsSegmentIsNonsense) {
  const auto segments = shm::SegmentPool::Create({});
  const auto segment = segments->Lease(100'000, 0);
  FeedClaimed(1);
  worker_.segments[(*segment)->id()] = *segment;
  shm::FinishedRecord record = FakeWorker::Success(1);
  record.segment_id = (*segment)->id();
  record.value_bytes = (*segment)->capacity_bytes() + 1;
  worker_.Write(shm::RecordKind::kFinished, record);
  EXPECT_THAT(Nonsense(), HasSubstr("a value of"));
}

TEST_F(LaneEndsTest, ATaskInTheUpQueueIsNonsense) {
  FeedClaimed(1);
  worker_.Write(shm::RecordKind::kTask, shm::TaskRecord{});
  EXPECT_THAT(Nonsense(), HasSubstr("kind 2"));
}

TEST_F(LaneEndsTest, NothingIsReadAfterNonsense) {
  FeedClaimed(1);
  worker_.Write(shm::RecordKind::kStarted, shm::StartedRecord{99, 5});
  worker_.Finish(1);
  DrainLane(link_, listener_);
  DrainLane(link_, listener_);
  EXPECT_THAT(listener_.nonsense, SizeIs(1));
  EXPECT_THAT(listener_.finished, IsEmpty());
}

// Each field of a finished record by itself, in a table.
struct BadField {
  const char* name;
  void (*spoil)(shm::FinishedRecord&);
};

class BadFinishedTest : public LaneEndsTest, public ::testing::WithParamInterface<BadField> {};

TEST_P(BadFinishedTest, PoisonsTheLane) {
  FeedClaimed(1);
  shm::FinishedRecord record = FakeWorker::Success(1);
  GetParam().spoil(record);
  worker_.Write(shm::RecordKind::kFinished, record);
  EXPECT_THAT(Nonsense(), HasSubstr("finished record: "));
  EXPECT_THAT(listener_.finished, IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(
    Fields, BadFinishedTest,
    ::testing::Values(
        BadField{"outcome_zero", [](shm::FinishedRecord& r) { r.outcome = 0; }},
        BadField{"outcome_large", [](shm::FinishedRecord& r) { r.outcome = 77; }},
        BadField{"value_length", [](shm::FinishedRecord& r) { r.value_bytes = 1; }},
        BadField{"value_length_huge", [](shm::FinishedRecord& r) { r.value_bytes = UINT64_MAX; }},
        BadField{"error_length", [](shm::FinishedRecord& r) { r.error_bytes = UINT32_MAX; }},
        BadField{"content_type_length",
                 [](shm::FinishedRecord& r) { r.content_type_bytes = UINT32_MAX; }},
        BadField{"sum_that_wraps",
                 [](shm::FinishedRecord& r) {
                   r.error_bytes = 1;
                   r.value_bytes = UINT64_MAX;
                 }},
        BadField{"ends_before_it_starts",
                 [](shm::FinishedRecord& r) { r.finished_ns = r.started_ns - 1; }},
        BadField{"negative_start", [](shm::FinishedRecord& r) { r.started_ns = INT64_MIN; }},
        BadField{"negative_cpu", [](shm::FinishedRecord& r) { r.cpu_ns = -2; }}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace prefork::engine
