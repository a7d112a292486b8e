// The parts too small for a file of their own: Ring, ClientKeys, Waiters, Bytes, errors.
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/engine/client_keys.h"
#include "server/engine/errors.h"
#include "server/engine/ring.h"
#include "server/engine/types.h"
#include "server/engine/waiters.h"

namespace prefork::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(RingTest, BehavesLikeADeque) {
  std::mt19937 random(3);
  Ring<int> ring;
  std::deque<int> model;
  for (int step = 0; step < 5'000; ++step) {
    if (model.empty() || random() % 100 < 55) {
      ring.push_back(step);
      model.push_back(step);
    } else {
      EXPECT_EQ(ring.front(), model.front());
      ring.pop_front();
      model.pop_front();
    }
    ASSERT_EQ(ring.size(), model.size());
    if (!model.empty()) {
      const size_t i = random() % model.size();
      ASSERT_EQ(ring[i], model[i]);
      ASSERT_EQ(ring.back(), model.back());
    }
  }
}

TEST(RingTest, APoppedElementIsDestroyed) {
  Ring<std::shared_ptr<int>> ring;
  const auto value = std::make_shared<int>(1);
  ring.push_back(value);
  EXPECT_EQ(value.use_count(), 2);
  ring.pop_front();
  EXPECT_EQ(value.use_count(), 1);
}

TEST(ClientKeysTest, SessionsOfOneNameShareAKeyAndOthersDoNot) {
  ClientKeys keys;
  const auto named = keys.OpenSession(1, "job");
  EXPECT_EQ(keys.OpenSession(1, "job"), named);
  EXPECT_NE(keys.OpenSession(2, "job"), named) << "another user";
  EXPECT_NE(keys.OpenSession(1, ""), keys.OpenSession(1, ""));
  EXPECT_EQ(keys.ForCalls(1), keys.ForCalls(1));
  EXPECT_NE(keys.ForCalls(1), keys.ForCalls(2));
}

TEST(ClientKeysTest, ANameIsForgottenWithItsLastSession) {
  ClientKeys keys;
  const auto first = keys.OpenSession(1, "job");
  keys.OpenSession(1, "job");
  keys.CloseSession(1, "job");
  EXPECT_EQ(keys.OpenSession(1, "job"), first);
  keys.CloseSession(1, "job");
  keys.CloseSession(1, "job");
  EXPECT_NE(keys.OpenSession(1, "job"), first);
}

TEST(WaitersTest, AreTakenOnceInOrderAndCanLeave) {
  Waiters waiters;
  std::vector<int> called;
  const auto note = [&](int n) { return [&called, n](const TaskInfo&) { called.push_back(n); }; };
  waiters.Add(4, note(1));
  const uint64_t left = waiters.Add(4, note(2));
  waiters.Add(4, note(3));
  waiters.Add(5, note(4));
  waiters.Cancel(left);
  waiters.Cancel(left);
  for (const auto& done : waiters.Take(4)) done(TaskInfo());
  EXPECT_THAT(called, ElementsAre(1, 3));
  EXPECT_THAT(waiters.Take(4), IsEmpty());
}

TEST(BytesTest, ASegmentIsViewedUpToItsSizeAndSharedByCopies) {
  const auto pool = shm::SegmentPool::Create({});
  const auto segment = pool->Lease(100'000, 0);
  ASSERT_TRUE(segment.ok());
  (*segment)->bytes()[2] = std::byte{'z'};
  const Bytes bytes(*segment, 3);
  Bytes copy;
  copy = bytes;
  EXPECT_EQ(copy.size(), 3u);
  EXPECT_EQ(copy.view()[2], 'z');
  EXPECT_EQ(copy.segment(), *segment);
  EXPECT_EQ(Bytes("abc").segment(), nullptr);
  EXPECT_EQ(Bytes("abc").view(), "abc");
  EXPECT_TRUE(Bytes().empty());
}

TEST(ErrorsTest, CarryReasonAndResource) {
  const absl::Status status =
      MakeError(absl::StatusCode::kNotFound, reason::kPoolNotFound, "no pool", "gpu");
  EXPECT_EQ(ReasonOf(status), "POOL_NOT_FOUND");
  EXPECT_EQ(ResourceOf(status), "gpu");
  EXPECT_EQ(ReasonOf(absl::NotFoundError("elsewhere")), "");
}

}  // namespace
}  // namespace prefork::engine
