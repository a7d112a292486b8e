// Descriptors, mappings, memory files, eventfds and pipes.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <span>
#include <string>

#include "common/os/check.h"
#include "common/os/eventfd.h"
#include "common/os/fd.h"
#include "common/os/mapping.h"
#include "common/os/memfd.h"
#include "common/os/pipe.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/os/open_fds.h"

namespace prefork::os {
namespace {

using ::testing::HasSubstr;

TEST(FdTest, ClosesWhatItOwnsAndNothingElse) {
  const int before = CountOpenFds();
  {
    Fd first = *CreateEventfd();
    Fd second = std::move(first);
    EXPECT_FALSE(first.valid());  // NOLINT(bugprone-use-after-move): that is what is tested
    const Fd copy = *second.Duplicate();
    EXPECT_NE(copy.get(), second.get());
    EXPECT_EQ(fcntl(copy.get(), F_GETFD), FD_CLOEXEC);
    second = Fd();
    EXPECT_EQ(CountOpenFds(), before + 1);
    Fd released = *copy.Duplicate();
    close(released.Release());
  }
  EXPECT_EQ(CountOpenFds(), before);
}

TEST(MemfdTest, SizeIsAllocatedAndSealed) {
  const Fd fd = *CreateSealedMemfd("test", 12345);
  EXPECT_EQ(*CheckSealedMemfd(fd.get()), 12345u);
  EXPECT_EQ(fcntl(fd.get(), F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(ftruncate(fd.get(), 1), -1);
  EXPECT_EQ(ftruncate(fd.get(), 1 << 20), -1);
  EXPECT_EQ(fcntl(fd.get(), F_ADD_SEALS, F_SEAL_WRITE), -1) << "and the seals can't be changed";
}

TEST(MemfdTest, MoreMemoryThanThereIsIsRefusedBeforeItIsTaken) {
  const int before = CountOpenFds();
  const absl::Status status = CreateSealedMemfd("test", size_t{1} << 60).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("memfd test of 1152921504606846976 bytes: only "));
  EXPECT_THAT(std::string(status.message()), HasSubstr("free memory"));
  EXPECT_EQ(CountOpenFds(), before);
}

TEST(MemfdTest, FileSizeLimitIsAStatus) {
  rlimit limit;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
  const rlimit tight = {4096, limit.rlim_max};
  signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &tight), 0);
  const absl::Status status = CreateSealedMemfd("test", 8192).status();
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  signal(SIGXFSZ, SIG_DFL);
  EXPECT_THAT(std::string(status.message()), HasSubstr("fallocate of 8192 bytes for memfd test"));
}

TEST(MemfdTest, MissingSealIsNamed) {
  const Fd fd(memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_THAT(std::string(CheckSealedMemfd(fd.get()).status().message()),
              HasSubstr("lacks F_SEAL_SHRINK"));
  fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK);
  EXPECT_THAT(std::string(CheckSealedMemfd(fd.get()).status().message()),
              HasSubstr("lacks F_SEAL_GROW"));
  fcntl(fd.get(), F_ADD_SEALS, F_SEAL_GROW);
  EXPECT_TRUE(CheckSealedMemfd(fd.get()).ok());
}

TEST(MappingTest, LeavesACopyWhereItWas) {
  const size_t bytes = 10000;
  const Fd fd = *CreateSealedMemfd("test", bytes);
  Mapping mapping = *Mapping::Create(fd.get(), bytes, Mapping::Access::kReadWrite);
  std::byte* const address = mapping.bytes().data();
  std::memset(address, 'a', bytes);
  const absl::StatusOr<std::span<std::byte>> copy = mapping.LeaveCopy();
  ASSERT_TRUE(copy.ok()) << copy.status();
  EXPECT_EQ(copy->data(), address);
  ASSERT_EQ(copy->size(), bytes);
  ASSERT_NE(mapping.bytes().data(), address);
  std::memset(mapping.bytes().data(), 'b', bytes);
  EXPECT_EQ(copy->front(), std::byte{'a'}) << "the copy is private";
  EXPECT_EQ(copy->back(), std::byte{'a'});
  const Mapping other = *Mapping::Create(fd.get(), bytes, Mapping::Access::kRead);
  EXPECT_EQ(other.bytes().front(), std::byte{'b'}) << "the mapping is still the shared one";
  EXPECT_EQ(munmap(copy->data(), copy->size()), 0);
}

TEST(MappingTest, TwoMappingsShareTheMemoryAndSurviveTheDescriptor) {
  Fd fd = *CreateSealedMemfd("test", 8192);
  Mapping first = *Mapping::Create(fd.get(), 8192, Mapping::Access::kReadWrite);
  const Mapping second = *Mapping::Create(fd.get(), 8192, Mapping::Access::kRead);
  fd.Reset();
  memcpy(first.bytes().data() + 5000, "shared", 6);
  EXPECT_EQ(memcmp(second.bytes().data() + 5000, "shared", 6), 0);
  const std::byte* const address = first.bytes().data();
  const Mapping moved = std::move(first);
  EXPECT_EQ(moved.bytes().data(), address);
  EXPECT_FALSE(first.valid());  // NOLINT(bugprone-use-after-move): that is what is tested
}

TEST(MappingTest, BadDescriptorIsAStatus) {
  const absl::Status status = Mapping::Create(-1, 4096, Mapping::Access::kRead).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("mmap of 4096 bytes"));
}

TEST(EventfdTest, FullCounterStaysReadableAndDoesNotBlock) {
  const Fd event = *CreateEventfd();
  const uint64_t almost_full = ~uint64_t{0} - 1;
  ASSERT_EQ(write(event.get(), &almost_full, sizeof(almost_full)), 8);
  SignalEventfd(event.get());
  ClearEventfd(event.get());
  uint64_t count;
  EXPECT_EQ(read(event.get(), &count, sizeof(count)), -1);
}

TEST(PipeTest, NonBlockingCanBeSwitched) {
  const Pipe pipe = *CreatePipe();
  ASSERT_TRUE(SetNonBlocking(pipe.read_end.get(), true).ok());
  char byte;
  EXPECT_EQ(read(pipe.read_end.get(), &byte, 1), -1);
  EXPECT_EQ(errno, EAGAIN);
  ASSERT_TRUE(SetNonBlocking(pipe.read_end.get(), false).ok());
  EXPECT_EQ(fcntl(pipe.read_end.get(), F_GETFL) & O_NONBLOCK, 0);
}

TEST(CheckDeathTest, NamesThePlaceAndTheCondition) {
  EXPECT_DEATH(PREFORK_CHECK(1 + 1 == 3), "memory_test.cc:[0-9]+: check failed: 1 \\+ 1 == 3");
}

}  // namespace
}  // namespace prefork::os
