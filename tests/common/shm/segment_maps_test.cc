#include "common/shm/segment_maps.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "common/os/memfd.h"
#include "common/shm/segment.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace prefork::shm {
namespace {

using ::testing::HasSubstr;

constexpr size_t kKiB = 1024;
constexpr auto kRead = os::Mapping::Access::kRead;
constexpr auto kReadWrite = os::Mapping::Access::kReadWrite;

class SegmentMapsTest : public ::testing::Test {
 protected:
  os::Fd Memfd(size_t size_bytes) { return *os::CreateSealedMemfd("test", size_bytes); }
  SegmentMaps maps_{2, 1024 * kKiB};
};

TEST_F(SegmentMapsTest, TheSameMemoryIsMappedOnce) {
  const os::Fd memfd = Memfd(128 * kKiB);
  absl::StatusOr<SegmentMap> first = maps_.Map(memfd.get(), 100, kReadWrite, 100);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->size(), 128 * kKiB);
  std::memset(first->bytes().data(), 'x', first->size());
  const std::byte* const place = first->bytes().data();
  maps_.Keep(*std::move(first));
  EXPECT_EQ(maps_.kept_bytes(), 128 * kKiB);

  const os::Fd other = Memfd(128 * kKiB);
  EXPECT_NE(maps_.Map(other.get(), 100, kReadWrite)->bytes().data(), place);
  const absl::StatusOr<SegmentMap> again = maps_.Map(memfd.get(), 100, kReadWrite);
  EXPECT_EQ(again->bytes().data(), place);
  EXPECT_EQ(again->bytes()[127 * kKiB], std::byte{'x'});
  EXPECT_EQ(maps_.kept_bytes(), 0U);
}

TEST_F(SegmentMapsTest, ForReadingItIsAnotherMapping) {
  const os::Fd memfd = Memfd(64 * kKiB);
  const os::Fd read_only = *os::ReopenReadOnly(memfd.get());
  maps_.Keep(*maps_.Map(memfd.get(), 1, kReadWrite));
  const absl::StatusOr<SegmentMap> reading = maps_.Map(read_only.get(), 1, kRead);
  ASSERT_TRUE(reading.ok()) << reading.status();
  EXPECT_EQ(maps_.kept_bytes(), 64 * kKiB) << "the other one is still there";
  const os::Fd other = Memfd(64 * kKiB);
  EXPECT_FALSE(maps_.Map(os::ReopenReadOnly(other.get())->get(), 1, kReadWrite).ok());
}

TEST_F(SegmentMapsTest, TheLongestUnusedGoesWhenThereAreTooMany) {
  const os::Fd a = Memfd(64 * kKiB);
  const os::Fd b = Memfd(64 * kKiB);
  const os::Fd c = Memfd(64 * kKiB);
  for (const os::Fd* memfd : {&a, &b, &c}) maps_.Keep(*maps_.Map(memfd->get(), 1, kRead));
  EXPECT_EQ(maps_.kept_bytes(), 128 * kKiB);
  const os::Fd large = Memfd(2048 * kKiB);
  maps_.Keep(*maps_.Map(large.get(), 1, kRead));
  EXPECT_EQ(maps_.kept_bytes(), 0U) << "larger than all that is kept";
}

TEST_F(SegmentMapsTest, WhatIsNoSegmentIsRefused) {
  const os::Fd memfd = Memfd(64 * kKiB);
  const absl::Status small = maps_.Map(memfd.get(), 65 * kKiB, kRead).status();
  EXPECT_EQ(small.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(small.message(), HasSubstr("a segment of 66560 bytes came as a file of 65536"));
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const os::Fd read_end(ends[0]);
  const os::Fd write_end(ends[1]);
  EXPECT_EQ(maps_.Map(ends[0], 1, kRead).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(SegmentMapsTest, AKeptMappingHoldsNoMemoryOfAFreedSegment) {
  const auto pool = SegmentPool::Create({.max_warm_bytes = 0});
  SegmentRef segment = *pool->Lease(100 * kKiB, 1000);
  const os::Fd memfd(dup(segment->fd()));
  SegmentMap map = *maps_.Map(memfd.get(), 1, kReadWrite);
  std::memset(map.bytes().data(), 'x', map.size());
  segment.reset();
  struct stat file;
  ASSERT_EQ(fstat(memfd.get(), &file), 0);
  EXPECT_EQ(file.st_blocks, 0) << "the pages are the kernel's again";
  EXPECT_EQ(map.bytes()[5], std::byte{0}) << "and no SIGBUS";
}

}  // namespace
}  // namespace prefork::shm
