#include "common/shm/segment.h"

#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "common/os/memfd.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/os/open_fds.h"

namespace prefork::shm {
namespace {

using ::testing::HasSubstr;

constexpr size_t kKiB = 1024;
constexpr uint32_t kAlice = 1000;
constexpr uint32_t kBob = 1001;

TEST(SegmentPoolTest, SegmentIsAtLeastAsLargeAsAskedAndAtMostAQuarterMore) {
  auto pool = SegmentPool::Create({});
  for (size_t size = 64 * kKiB; size < 5000 * kKiB; size = size * 9 / 8 + 1) {
    const absl::StatusOr<SegmentRef> segment = pool->Lease(size, kAlice);
    ASSERT_TRUE(segment.ok()) << segment.status();
    EXPECT_GE((*segment)->capacity_bytes(), size);
    EXPECT_LE((*segment)->capacity_bytes(), size + size / 4 + 1);
  }
  EXPECT_EQ((*pool->Lease(1, kAlice))->capacity_bytes(), 64 * kKiB);
}

TEST(SegmentPoolTest, MemoryIsSealedAndWritable) {
  auto pool = SegmentPool::Create({});
  const SegmentRef segment = *pool->Lease(100 * kKiB, kAlice);
  const absl::StatusOr<uint64_t> sealed = os::CheckSealedMemfd(segment->fd());
  ASSERT_TRUE(sealed.ok()) << sealed.status();
  EXPECT_EQ(*sealed, segment->capacity_bytes());
  memset(segment->bytes().data(), 0x5a, segment->bytes().size());
}

TEST(SegmentPoolTest, ReturnedMemoryIsReusedForTheSameUserUnderANewId) {
  auto pool = SegmentPool::Create({});
  SegmentRef first = *pool->Lease(64 * kKiB, kAlice);
  const uint64_t first_id = first->id();
  const void* const memory = first->bytes().data();
  first.reset();
  EXPECT_EQ(pool->leased_bytes(), 0u);
  EXPECT_EQ(pool->warm_bytes(), 64 * kKiB);
  const SegmentRef second = *pool->Lease(60 * kKiB, kAlice);
  EXPECT_EQ(second->bytes().data(), memory);
  EXPECT_NE(second->id(), first_id);
  EXPECT_EQ(pool->warm_bytes(), 0u);
}

TEST(SegmentPoolTest, MemoryNeverGoesToAnotherUser) {
  auto pool = SegmentPool::Create({});
  SegmentRef alices = *pool->Lease(64 * kKiB, kAlice);
  memcpy(alices->bytes().data(), "secret", 6);
  alices.reset();
  const SegmentRef bobs = *pool->Lease(64 * kKiB, kBob);
  for (const std::byte byte : bobs->bytes()) ASSERT_EQ(byte, std::byte{0});
  EXPECT_EQ(pool->warm_bytes(), 64 * kKiB) << "Alice's is still warm for her";
}

std::vector<SegmentRef> LeaseMany(SegmentPool& pool, int count) {
  std::vector<SegmentRef> held(count);
  for (SegmentRef& segment : held) segment = *pool.Lease(64 * kKiB, kAlice);
  return held;
}

TEST(SegmentPoolTest, OverTheLimitIsResourceExhaustedUntilOneComesBack) {
  auto pool = SegmentPool::Create({.max_total_bytes = 256 * kKiB, .max_warm_bytes = 256 * kKiB});
  std::vector<SegmentRef> held = LeaseMany(*pool, 4);
  const absl::Status status = pool->Lease(1, kAlice).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("may take 262144 bytes"));
  held.pop_back();
  EXPECT_TRUE(pool->Lease(64 * kKiB, kAlice).ok());
  EXPECT_EQ(pool->Lease(size_t{1} << 60, kAlice).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(pool->Lease(~size_t{0}, kAlice).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(pool->Lease(0, kAlice).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(SegmentPoolTest, WarmMemoryOfOthersMakesRoomForALease) {
  auto pool = SegmentPool::Create({.max_total_bytes = 256 * kKiB, .max_warm_bytes = 256 * kKiB});
  std::vector<SegmentRef> held = LeaseMany(*pool, 4);
  held.clear();
  EXPECT_EQ(pool->warm_bytes(), 256 * kKiB);
  const SegmentRef bobs = *pool->Lease(128 * kKiB, kBob);
  EXPECT_EQ(pool->warm_bytes(), 128 * kKiB);
  EXPECT_EQ(pool->leased_bytes(), 128 * kKiB);
}

TEST(SegmentPoolTest, WarmListIsBoundedAndCanBeTrimmed) {
  auto pool = SegmentPool::Create({.max_total_bytes = 1024 * kKiB, .max_warm_bytes = 128 * kKiB});
  std::vector<SegmentRef> held = LeaseMany(*pool, 4);
  held.push_back(*pool->Lease(256 * kKiB, kAlice));
  held.clear();
  EXPECT_EQ(pool->warm_bytes(), 128 * kKiB);
  pool->TrimWarm();
  EXPECT_EQ(pool->warm_bytes(), 0u);
}

TEST(SegmentPoolTest, SegmentOutlivesItsPool) {
  const int before = os::CountOpenFds();
  auto pool = SegmentPool::Create({});
  SegmentRef segment = *pool->Lease(64 * kKiB, kAlice);
  pool.reset();
  segment->bytes()[0] = std::byte{1};
  segment.reset();
  EXPECT_EQ(os::CountOpenFds(), before);
}

TEST(SegmentPoolTest, OutOfDescriptorsIsResourceExhaustedAndTheRoomIsNotLost) {
  auto pool = SegmentPool::Create({});
  {
    const os::FdShortage shortage(0);
    EXPECT_EQ(pool->Lease(64 * kKiB, kAlice).status().code(), absl::StatusCode::kResourceExhausted);
  }
  EXPECT_EQ(pool->leased_bytes(), 0u);
  EXPECT_TRUE(pool->Lease(64 * kKiB, kAlice).ok());
}

TEST(SegmentPoolTest, ThreadsLeaseAndReturnWithinTheBound) {
  static constexpr size_t kMax = 512 * kKiB;
  auto pool = SegmentPool::Create({.max_total_bytes = kMax, .max_warm_bytes = kMax});
  std::vector<std::thread> threads;
  for (uint32_t user = 0; user < 4; ++user) {
    threads.emplace_back([&pool, user] {
      for (int i = 0; i < 500; ++i) {
        const absl::StatusOr<SegmentRef> segment = pool->Lease(64 * kKiB * (1 + i % 3), user);
        if (!segment.ok()) continue;
        (*segment)->bytes()[0] = static_cast<std::byte>(user);
        ASSERT_LE(pool->leased_bytes(), kMax);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(pool->leased_bytes(), 0u);
  EXPECT_LE(pool->warm_bytes(), kMax);
}

}  // namespace
}  // namespace prefork::shm
