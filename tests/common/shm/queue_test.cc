#include "common/shm/queue.h"

#include <poll.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/os/eventfd.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace prefork::shm {
namespace {

using ::testing::HasSubstr;

constexpr size_t kSmallRingBytes = 4096;
constexpr uint32_t kGeneration = 7;

bool IsReadable(int fd) {
  pollfd poll_fd = {fd, POLLIN, 0};
  return poll(&poll_fd, 1, 0) == 1;
}

class QueueTest : public ::testing::Test {
 protected:
  QueueTest()
      : memory_(std::make_unique<Memory>()),
        event_(*os::CreateEventfd()),
        producer_(memory_->ring, kSmallRingBytes, &memory_->indices, kGeneration, event_.get()),
        consumer_(memory_->ring, kSmallRingBytes, &memory_->indices, kGeneration) {}

  // Commits a record with `body`; the caller publishes.
  RecordPosition Put(const std::string& body) {
    const std::span<std::byte> place = producer_.Reserve(RecordKind::kTask, body.size());
    EXPECT_EQ(place.size(), body.size());
    memcpy(place.data(), body.data(), body.size());
    return producer_.Commit();
  }

  // The next body, "(nothing)" or the error.
  std::string Take(bool claim = true) {
    auto record = consumer_.Next(claim);
    if (!record.ok()) return std::string(record.status().message());
    if (!record->has_value()) return "(nothing)";
    return std::string(reinterpret_cast<const char*>((*record)->body.data()),
                       (*record)->body.size());
  }

  RecordHeader* HeaderAt(uint64_t offset) {
    return reinterpret_cast<RecordHeader*>(memory_->ring + offset % kSmallRingBytes);
  }

  struct Memory {
    QueueIndices indices{};
    alignas(kCacheLine) std::byte ring[kSmallRingBytes]{};
  };
  std::unique_ptr<Memory> memory_;
  os::Fd event_;
  QueueProducer producer_;
  QueueConsumer consumer_;
};

TEST_F(QueueTest, RecordsComeOutInOrderWithTheirKindAndBody) {
  Put("first");
  Put("second, longer than sixteen bytes");
  EXPECT_EQ(Take(), "(nothing)") << "not published yet";
  producer_.Publish();
  EXPECT_EQ(Take(), "first");
  EXPECT_EQ(Take(), "second, longer than sixteen bytes");
  EXPECT_EQ(Take(), "(nothing)");
}

TEST_F(QueueTest, EveryLengthSurvivesManyTurnsOfTheRing) {
  for (int turn = 0; turn < 20; ++turn) {
    for (size_t length = 1; length <= producer_.max_body_bytes(); length += 13) {
      const std::string body(length, static_cast<char>('a' + length % 26));
      Put(body);
      producer_.Publish();
      ASSERT_EQ(Take(), body);
      consumer_.Release();
    }
  }
}

TEST_F(QueueTest, FullRingRefusesUntilTheConsumerReleases) {
  int committed = 0;
  while (!producer_.Reserve(RecordKind::kTask, 100).empty()) {
    producer_.Commit();
    ++committed;
  }
  EXPECT_EQ(committed, static_cast<int>(kSmallRingBytes / 128));  // 16 + 100, rounded up to 16
  EXPECT_EQ(*producer_.used_bytes(), kSmallRingBytes);
  producer_.Publish();
  ASSERT_TRUE((*consumer_.Next(true)).has_value());
  EXPECT_FALSE(producer_.HasRoom(100)) << "returned, but not released";
  consumer_.Release();
  EXPECT_TRUE(producer_.HasRoom(100));
}

TEST_F(QueueTest, BodyOverTheLimitNeverFits) {
  EXPECT_FALSE(producer_.Reserve(RecordKind::kTask, producer_.max_body_bytes()).empty());
  EXPECT_TRUE(producer_.Reserve(RecordKind::kTask, producer_.max_body_bytes() + 1).empty());
}

TEST_F(QueueTest, LargestBodyAlwaysFitsAnEmptyRing) {
  for (size_t start = 1; start < kSmallRingBytes; start += kRecordAlignment) {
    Put("x");
    producer_.Publish();
    ASSERT_EQ(Take(), "x");
    consumer_.Release();
    ASSERT_TRUE(producer_.HasRoom(producer_.max_body_bytes()));
  }
}

TEST_F(QueueTest, RevokedRecordIsSkippedAndItsRoomComesBack) {
  Put("keep");
  const RecordPosition doomed = Put("revoked");
  Put("keep too");
  producer_.Publish();
  EXPECT_TRUE(producer_.Revoke(doomed));
  EXPECT_FALSE(producer_.Revoke(doomed)) << "it is gone already";
  EXPECT_EQ(Take(), "keep");
  EXPECT_EQ(Take(), "keep too");
  consumer_.Release();
  EXPECT_EQ(*producer_.used_bytes(), 0u);
}

TEST_F(QueueTest, RoomOfRevokedRecordsComesBackWithoutARelease) {
  const RecordPosition doomed = Put("revoked");
  producer_.Publish();
  ASSERT_TRUE(producer_.Revoke(doomed));
  EXPECT_EQ(Take(), "(nothing)");
  EXPECT_EQ(*producer_.used_bytes(), 0u);
}

TEST_F(QueueTest, ClaimedRecordCannotBeRevoked) {
  const RecordPosition first = Put("runs");
  const RecordPosition second = Put("waits");
  producer_.Publish();
  EXPECT_FALSE(producer_.IsClaimed(first));
  EXPECT_EQ(Take(), "runs");
  EXPECT_TRUE(producer_.IsClaimed(first));
  EXPECT_FALSE(producer_.IsClaimed(second));
  EXPECT_FALSE(producer_.Revoke(first));
  EXPECT_TRUE(producer_.Revoke(second));
}

TEST_F(QueueTest, ReleasedRecordCountsAsClaimedAndCannotBeRevoked) {
  const RecordPosition position = Put("done");
  producer_.Publish();
  EXPECT_EQ(Take(), "done");
  EXPECT_FALSE(*producer_.IsReleased(position));
  consumer_.Release();
  EXPECT_TRUE(*producer_.IsReleased(position));
  EXPECT_TRUE(producer_.IsClaimed(position));
  EXPECT_FALSE(producer_.Revoke(position));
}

TEST_F(QueueTest, AwakeConsumerIsNotSignalled) {
  Put("a");
  EXPECT_FALSE(producer_.PublishAndWake());
  EXPECT_FALSE(IsReadable(event_.get()));
}

TEST_F(QueueTest, SleepingConsumerIsSignalledOnce) {
  ASSERT_TRUE(consumer_.PrepareSleep());
  Put("a");
  EXPECT_TRUE(producer_.PublishAndWake());
  Put("b");
  EXPECT_FALSE(producer_.PublishAndWake());
  EXPECT_TRUE(IsReadable(event_.get()));
}

TEST_F(QueueTest, ConsumerDoesNotFallAsleepOverRecords) {
  Put("a");
  producer_.Publish();
  EXPECT_FALSE(consumer_.PrepareSleep());
  EXPECT_FALSE(producer_.PublishAndWake()) << "the announcement was withdrawn";
}

TEST_F(QueueTest, WaitingProducerIsReportedOnce) {
  EXPECT_FALSE(consumer_.TakeProducerWaiting());
  producer_.SetWaiting(true);
  EXPECT_TRUE(consumer_.TakeProducerWaiting());
  EXPECT_FALSE(consumer_.TakeProducerWaiting());
}

// --- what a hostile peer may write ---

TEST_F(QueueTest, TailBeyondTheRingIsDataLoss) {
  memory_->indices.tail = kSmallRingBytes + kRecordAlignment;
  EXPECT_THAT(Take(), HasSubstr("tail 4112 does not follow"));
  EXPECT_EQ(consumer_.Next(true).status().code(), absl::StatusCode::kDataLoss) << "and it stays so";
}

TEST_F(QueueTest, TailGoingBackwardsIsDataLoss) {
  Put("a");
  Put("b");
  producer_.Publish();
  EXPECT_EQ(Take(), "a");
  EXPECT_EQ(Take(), "b");
  memory_->indices.tail = 16;
  EXPECT_THAT(Take(), HasSubstr("tail 16 does not follow 64"));
}

TEST_F(QueueTest, UnalignedTailIsDataLoss) {
  memory_->indices.tail = 24;
  EXPECT_THAT(Take(), HasSubstr("tail 24"));
}

TEST_F(QueueTest, LengthBeyondWhatWasPublishedIsDataLoss) {
  Put("a");
  producer_.Publish();
  for (const uint32_t length : {17u, 4096u, 0x7fffffffu, 0xfffffff0u, 0xffffffffu}) {
    HeaderAt(0)->body_bytes = length;
    EXPECT_THAT(Take(), HasSubstr(absl::StrCat("record at 0 has ", length, " bytes")));
  }
}

TEST_F(QueueTest, LengthBeyondTheRingsEndIsDataLoss) {
  // Fill up to one record before the end, so that more is published than lies before the end.
  const std::string body(kSmallRingBytes / 4 - 32, 'x');
  for (int i = 0; i < 4; ++i) {
    Put(body);
    producer_.Publish();
    ASSERT_EQ(Take(), body);
    consumer_.Release();
  }
  Put("at the end");
  Put(std::string(300, 'y'));
  producer_.Publish();
  HeaderAt(4 * (kSmallRingBytes / 4 - 16))->body_bytes = 200;
  EXPECT_THAT(Take(), HasSubstr("more than were published"));
}

TEST_F(QueueTest, UnknownKindGenerationAndClaimWordAreDataLoss) {
  Put("a");
  producer_.Publish();
  HeaderAt(0)->kind = 99;
  EXPECT_THAT(Take(), HasSubstr("has kind 99"));
  HeaderAt(0)->kind = static_cast<uint16_t>(RecordKind::kTask);
  HeaderAt(0)->generation = 8;
  EXPECT_THAT(Take(), HasSubstr("has generation 8 instead of 7"));
  HeaderAt(0)->generation = kGeneration;
  HeaderAt(0)->claim = 0xdead;
  EXPECT_THAT(Take(true), HasSubstr("has claim word 57005"));
  EXPECT_THAT(Take(false), HasSubstr("has claim word 57005"));
  HeaderAt(0)->claim = static_cast<uint32_t>(ClaimState::kReady);
  EXPECT_EQ(Take(), "a");
}

TEST_F(QueueTest, PaddingThatStopsBeforeTheRingsEndIsDataLoss) {
  Put("a");
  producer_.Publish();
  HeaderAt(0)->kind = static_cast<uint16_t>(RecordKind::kPadding);
  EXPECT_THAT(Take(), HasSubstr("padding at 0 does not reach the end"));
}

TEST_F(QueueTest, HeadOutsideThePublishedRangeIsDataLossAndLeavesNoRoom) {
  Put("a");
  producer_.Publish();
  memory_->indices.head = 4096;
  EXPECT_THAT(std::string(producer_.used_bytes().status().message()),
              HasSubstr("head 4096 is outside"));
  EXPECT_EQ(producer_.used_bytes().status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(producer_.IsReleased({0}).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(producer_.Reserve(RecordKind::kTask, producer_.max_body_bytes()).data() != nullptr);
  while (!producer_.Reserve(RecordKind::kTask, 100).empty()) producer_.Commit();
  EXPECT_FALSE(producer_.HasRoom(100))
      << "what the consumer claims to have released is not believed";
}

TEST_F(QueueTest, NonsenseInAClaimWordCountsAsClaimed) {
  const RecordPosition position = Put("a");
  producer_.Publish();
  HeaderAt(0)->claim = 0xffffffff;
  EXPECT_TRUE(producer_.IsClaimed(position));
  EXPECT_FALSE(producer_.Revoke(position));
}

}  // namespace
}  // namespace prefork::shm
