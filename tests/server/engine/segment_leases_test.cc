#include "server/engine/segment_leases.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/engine/errors.h"

namespace prefork::engine {
namespace {

using ::testing::HasSubstr;

constexpr uint32_t kAlice = 1000;
constexpr uint32_t kBob = 1001;
constexpr size_t kSegment = 64 << 10;

class SegmentLeasesTest : public ::testing::Test {
 protected:
  SegmentLeasesTest() : alice_(*leases_.Open(kAlice)), bob_(*leases_.Open(kBob)) {}

  shm::SegmentRef Make(uint32_t uid) { return *pool_->Lease(kSegment, uid); }
  static std::string Text(const segments::Token& token) { return {token.data(), token.size()}; }

  const std::shared_ptr<shm::SegmentPool> pool_ = shm::SegmentPool::Create({});
  SegmentLeases leases_{
      {.max_segments = 3, .max_bytes = 2 * kSegment, .max_total_bytes = 3 * kSegment}};
  const segments::Token alice_;
  const segments::Token bob_;
};

TEST_F(SegmentLeasesTest, ALeaseKeepsTheSegmentUntilItIsReleased) {
  ASSERT_TRUE(leases_.Add(alice_, Make(kAlice)).ok());
  EXPECT_EQ(leases_.leased_bytes(), kSegment);
  EXPECT_EQ(pool_->leased_bytes(), kSegment);
  const absl::StatusOr<shm::SegmentRef> found = leases_.Find(Text(alice_), kAlice, 1);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ((*found)->id(), 1U);
  EXPECT_TRUE(leases_.Release(alice_, 1).ok());
  EXPECT_EQ(leases_.leased_bytes(), 0U);
  EXPECT_EQ(pool_->leased_bytes(), kSegment) << "a task may have it, too";
}

TEST_F(SegmentLeasesTest, TheEndOfAHolderFreesAllThatItHas) {
  ASSERT_TRUE(leases_.Add(alice_, Make(kAlice)).ok());
  ASSERT_TRUE(leases_.Add(alice_, Make(kAlice)).ok());
  ASSERT_TRUE(leases_.Add(bob_, Make(kBob)).ok());
  leases_.Close(alice_);
  EXPECT_EQ(leases_.leased_bytes(), kSegment);
  EXPECT_EQ(pool_->leased_bytes(), kSegment);
  EXPECT_EQ(leases_.holders(), 1U);
  EXPECT_EQ(leases_.Add(alice_, Make(kAlice)).code(), absl::StatusCode::kNotFound);
  leases_.Close(alice_);
}

TEST_F(SegmentLeasesTest, WhatWasLeasedTwiceIsReleasedTwiceAndCountsOnce) {
  const shm::SegmentRef segment = Make(kAlice);
  ASSERT_TRUE(leases_.Add(alice_, segment).ok());
  ASSERT_TRUE(leases_.Add(alice_, segment).ok());
  EXPECT_EQ(leases_.leased_bytes(), kSegment);
  EXPECT_TRUE(leases_.Release(alice_, segment->id()).ok());
  EXPECT_TRUE(leases_.Find(Text(alice_), kAlice, segment->id()).ok());
  EXPECT_TRUE(leases_.Release(alice_, segment->id()).ok());
  EXPECT_EQ(leases_.Release(alice_, segment->id()).code(), absl::StatusCode::kNotFound);
}

TEST_F(SegmentLeasesTest, NobodyFindsWhatIsNotTheirs) {
  const shm::SegmentRef segment = Make(kAlice);
  ASSERT_TRUE(leases_.Add(alice_, segment).ok());
  for (const absl::Status& status :
       {leases_.Find(Text(alice_), kAlice, 2).status(), leases_.Find(Text(bob_), kBob, 1).status(),
        leases_.Find(Text(alice_), kBob, 1).status(), leases_.Find("", kAlice, 1).status(),
        leases_.Find(std::string(1000, 'x'), kAlice, 1).status(), leases_.Release(bob_, 1)}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
    EXPECT_THAT(status.message(), HasSubstr("is not leased to this client"));
  }
}

TEST_F(SegmentLeasesTest, EveryBoundIsNamed) {
  ASSERT_TRUE(leases_.Add(alice_, Make(kAlice)).ok());
  ASSERT_TRUE(leases_.Add(alice_, Make(kAlice)).ok());
  const absl::Status own = leases_.Add(alice_, Make(kAlice));
  EXPECT_EQ(own.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(own), reason::kSegmentsFull);
  EXPECT_THAT(own.message(), HasSubstr("limits.client_segment_bytes"));
  EXPECT_EQ(leases_.CheckRoom(alice_, 1).code(), absl::StatusCode::kResourceExhausted);

  EXPECT_TRUE(leases_.CheckRoom(bob_, kSegment).ok());
  ASSERT_TRUE(leases_.Add(bob_, Make(kBob)).ok());
  EXPECT_THAT(leases_.Add(bob_, Make(kBob)).message(), HasSubstr("limits.clients_segment_bytes"));

  SegmentLeases one({.max_segments = 1});
  const segments::Token holder = *one.Open(kAlice);
  ASSERT_TRUE(one.Add(holder, Make(kAlice)).ok());
  EXPECT_THAT(one.Add(holder, Make(kAlice)).message(), HasSubstr("limits.client_segments"));
}

TEST_F(SegmentLeasesTest, TokensDiffer) { EXPECT_NE(alice_, bob_); }

}  // namespace
}  // namespace prefork::engine
