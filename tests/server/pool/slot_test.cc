#include "server/pool/slot.h"

#include <gtest/gtest.h>

namespace prefork::pool {
namespace {

// A slot only looks at identities, so workers without processes do.
class SlotTest : public ::testing::Test {
 protected:
  PooledWorker first{nullptr, nullptr, nullptr, PoolSpec(), nullptr};
  PooledWorker second{nullptr, nullptr, nullptr, PoolSpec(), nullptr};
  Slot slot{3};
};

TEST_F(SlotTest, GenerationsGrow) {
  EXPECT_EQ(slot.TakeGeneration(), 1U);
  EXPECT_EQ(slot.TakeGeneration(), 2U);
}

TEST_F(SlotTest, AnEmptySlotNeedsAForkAndAFullOneDoesNot) {
  EXPECT_TRUE(slot.NeedsFork());
  slot.Attach(&first);
  EXPECT_FALSE(slot.NeedsFork());
  EXPECT_EQ(slot.Ready(&first), nullptr);
  slot.Detach(&first);
  EXPECT_TRUE(slot.NeedsFork());
}

TEST_F(SlotTest, ARenewedWorkerServesUntilItsReplacementIsReady) {
  slot.Attach(&first);
  slot.Renew();
  EXPECT_TRUE(slot.NeedsFork());
  slot.Attach(&second);
  EXPECT_FALSE(slot.NeedsFork());
  EXPECT_EQ(slot.serving(), &first);
  EXPECT_EQ(slot.Ready(&second), &first);
  EXPECT_EQ(slot.serving(), &second);
  EXPECT_FALSE(slot.renewing());
  EXPECT_FALSE(slot.NeedsFork());
}

TEST_F(SlotTest, AReplacementThatDiesIsForkedAgain) {
  slot.Attach(&first);
  slot.Renew();
  slot.Attach(&second);
  slot.Detach(&second);
  EXPECT_EQ(slot.serving(), &first);
  EXPECT_TRUE(slot.NeedsFork());
}

TEST_F(SlotTest, AReplacementTakesOverWhenTheServingWorkerDies) {
  slot.Attach(&first);
  slot.Renew();
  slot.Attach(&second);
  slot.Detach(&first);
  EXPECT_EQ(slot.serving(), &second);
  EXPECT_FALSE(slot.NeedsFork());
  EXPECT_EQ(slot.Ready(&second), nullptr);
}

TEST_F(SlotTest, WorkersThatHaveLeftDoNotMatter) {
  slot.Attach(&first);
  slot.Detach(&second);
  EXPECT_EQ(slot.serving(), &first);
}

TEST_F(SlotTest, AnEmptySlotHasNothingToRenew) {
  slot.Renew();
  slot.Attach(&first);
  EXPECT_FALSE(slot.NeedsFork());
}

}  // namespace
}  // namespace prefork::pool
