#include "common/shm/lane.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <random>
#include <string>

#include "common/os/memfd.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/os/open_fds.h"

namespace prefork::shm {
namespace {

using ::testing::HasSubstr;

constexpr LaneOptions kOptions = {
    .worker_index = 4, .generation = 9, .down_bytes = 8192, .up_bytes = 4096};

os::Fd Dup(int fd) { return os::Fd(fcntl(fd, F_DUPFD_CLOEXEC, 0)); }

absl::StatusOr<LaneGuest> MapGuest(const LaneOwner& owner) {
  return LaneGuest::Map(Dup(owner.memfd()), Dup(owner.down_eventfd()), Dup(owner.up_eventfd()));
}

void PutNumber(QueueProducer& producer, RecordKind kind, uint64_t number) {
  const std::span<std::byte> place = producer.Reserve(kind, sizeof(number));
  ASSERT_EQ(place.size(), sizeof(number));
  memcpy(place.data(), &number, sizeof(number));
  producer.Commit();
  producer.PublishAndWake();
}

uint64_t TakeNumber(QueueConsumer& consumer, bool claim) {
  auto record = consumer.Next(claim);
  EXPECT_TRUE(record.ok() && record->has_value()) << record.status();
  uint64_t number = 0;
  if (record.ok() && record->has_value()) memcpy(&number, (*record)->body.data(), sizeof(number));
  consumer.Release();
  return number;
}

TEST(LaneTest, RecordsTravelBothWays) {
  absl::StatusOr<LaneOwner> owner = LaneOwner::Create(kOptions);
  ASSERT_TRUE(owner.ok()) << owner.status();
  absl::StatusOr<LaneGuest> guest = MapGuest(*owner);
  ASSERT_TRUE(guest.ok()) << guest.status();
  EXPECT_EQ(guest->worker_index(), 4u);
  EXPECT_EQ(guest->generation(), 9u);
  for (uint64_t i = 1; i < 1000; ++i) {
    PutNumber(owner->down(), RecordKind::kTask, i);
    EXPECT_EQ(TakeNumber(guest->down(), true), i);
    PutNumber(guest->up(), RecordKind::kFinished, i * 3);
    EXPECT_EQ(TakeNumber(owner->up(), false), i * 3);
  }
  guest->status().running_task = 77;
  EXPECT_EQ(owner->status().running_task, 77u);
}

TEST(LaneTest, EndsMayBeMoved) {
  absl::StatusOr<LaneOwner> made = LaneOwner::Create(kOptions);
  ASSERT_TRUE(made.ok());
  LaneOwner owner = *std::move(made);
  absl::StatusOr<LaneGuest> mapped = MapGuest(owner);
  ASSERT_TRUE(mapped.ok());
  LaneGuest guest = *std::move(mapped);
  PutNumber(owner.down(), RecordKind::kTask, 5);
  EXPECT_EQ(TakeNumber(guest.down(), true), 5u);
}

TEST(LaneTest, MemoryCannotBeResized) {
  absl::StatusOr<LaneOwner> owner = LaneOwner::Create(kOptions);
  ASSERT_TRUE(owner.ok());
  EXPECT_NE(ftruncate(owner->memfd(), 4096), 0);
  EXPECT_NE(ftruncate(owner->memfd(), 1 << 20), 0);
}

TEST(LaneTest, GuestRefusesMemoryThatIsNotSealed) {
  os::Fd memfd(memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(ftruncate(memfd.get(), 1 << 20), 0);
  absl::StatusOr<LaneGuest> guest = LaneGuest::Map(std::move(memfd), os::Fd(), os::Fd());
  EXPECT_EQ(guest.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(guest.status().message()), HasSubstr("lacks F_SEAL_SHRINK"));
}

TEST(LaneTest, GuestRefusesAFileThatIsNoMemfd) {
  os::Fd file(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  absl::StatusOr<LaneGuest> guest = LaneGuest::Map(std::move(file), os::Fd(), os::Fd());
  EXPECT_EQ(guest.status().code(), absl::StatusCode::kFailedPrecondition);
}

class LaneHeaderTest : public ::testing::Test {
 protected:
  LaneHeaderTest() : owner_(*LaneOwner::Create(kOptions)) {
    memory_ = *os::Mapping::Create(owner_.memfd(), 4096, os::Mapping::Access::kReadWrite);
    header_ = reinterpret_cast<LaneHeader*>(memory_.bytes().data());
  }
  std::string Refusal() {
    const absl::Status status = MapGuest(owner_).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    return std::string(status.message());
  }
  LaneOwner owner_;
  os::Mapping memory_;
  LaneHeader* header_;
};

TEST_F(LaneHeaderTest, RefusalNamesTheFieldThatIsWrong) {
  ASSERT_TRUE(MapGuest(owner_).ok());
  const LaneHeader* original = header_;
  header_->magic ^= 1;
  EXPECT_THAT(Refusal(), HasSubstr("magic"));
  header_->magic ^= 1;
  header_->version = 99;
  EXPECT_THAT(Refusal(), HasSubstr("layout version 99, this program knows"));
  header_->version = kLaneVersion;
  header_->total_bytes += 4096;
  EXPECT_THAT(Refusal(), HasSubstr("header says"));
  header_->total_bytes -= 4096;
  header_->down_bytes = 5000;
  EXPECT_THAT(Refusal(), HasSubstr("down ring of 5000 bytes"));
  header_->down_bytes = 8192;
  header_->up_bytes = uint64_t{1} << 63;
  EXPECT_THAT(Refusal(), HasSubstr("up ring of"));
  header_->up_bytes = 8192;
  EXPECT_THAT(Refusal(), HasSubstr("do not fit"));
  header_->up_bytes = 4096;
  header_->up_offset = ~uint64_t{0};
  EXPECT_THAT(Refusal(), HasSubstr("do not fit"));
  header_->up_offset = original->down_offset + 8192;
  EXPECT_TRUE(MapGuest(owner_).ok());
}

TEST_F(LaneHeaderTest, OwnerWorksOnWhenTheGuestOverwritesTheHeader) {
  LaneGuest guest = *MapGuest(owner_);
  memset(memory_.bytes().data(), 0xff, offsetof(LaneHeader, down));
  PutNumber(owner_.down(), RecordKind::kTask, 11);
  EXPECT_EQ(TakeNumber(guest.down(), true), 11u);
}

// Random bytes over header, indices and records while a lane is used: errors are fine, crashes and
// loops are not.
TEST(LaneGarbageTest, RandomBytesAnywhereNeverCrashOrHangTheOwner) {
  std::mt19937_64 random(2024);
  int refused = 0;
  for (int round = 0; round < 3000; ++round) {
    absl::StatusOr<LaneOwner> owner = LaneOwner::Create({.down_bytes = 4096, .up_bytes = 4096});
    ASSERT_TRUE(owner.ok());
    os::Mapping memory = *os::Mapping::Create(owner->memfd(), *os::CheckSealedMemfd(owner->memfd()),
                                              os::Mapping::Access::kReadWrite);
    LaneGuest guest = *MapGuest(*owner);
    RecordPosition last;
    for (int i = 0; i < 10; ++i) {
      if (!owner->down().Reserve(RecordKind::kTask, 40).empty()) last = owner->down().Commit();
      if (!guest.up().Reserve(RecordKind::kFinished, 1 + random() % 200).empty())
        guest.up().Commit();
    }
    owner->down().PublishAndWake();
    guest.up().PublishAndWake();
    const size_t writes = 1 + random() % 8;
    for (size_t i = 0; i < writes; ++i) {
      // Half of the writes hit the header and the indices, the others the first records.
      const size_t place =
          random() % 2 == 0 ? random() % sizeof(LaneHeader) : 4096 + 4096 + random() % 512;
      memory.bytes()[place] = static_cast<std::byte>(random());
    }
    size_t seen = 0;
    for (;;) {
      auto record = owner->up().Next(false);
      if (!record.ok()) {
        EXPECT_EQ(record.status().code(), absl::StatusCode::kDataLoss);
        ++refused;
        break;
      }
      if (!record->has_value()) break;
      ASSERT_LT(++seen, size_t{300}) << "more records than a ring can hold";
      for (const std::byte byte : (*record)->body)
        memory.bytes()[0] ^= byte;  // every byte can be read
      if (random() % 2 == 0) owner->up().Release();
    }
    owner->up().Release();
    owner->up().TakeProducerWaiting();
    // Calls that must not crash, whatever they answer.
    (void)owner->down().Revoke(last);
    (void)owner->down().IsClaimed(last);
    (void)owner->down().IsReleased(last);
    (void)owner->down().used_bytes();
    (void)owner->down().Reserve(RecordKind::kTask, 100);
  }
  EXPECT_GT(refused, 300) << "the garbage hits nothing";
}

TEST(LaneExhaustionTest, OutOfDescriptorsIsResourceExhaustedAndLeaksNothing) {
  for (const int spare : {0, 1, 2}) {
    const os::FdShortage shortage(spare);
    const int before = os::CountOpenFds();
    const absl::Status status = LaneOwner::Create(kOptions).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("LimitNOFILE"));
    EXPECT_EQ(os::CountOpenFds(), before);
  }
}

}  // namespace
}  // namespace prefork::shm
