#include "server/engine/linger.h"

#include <gtest/gtest.h>

namespace prefork::engine {
namespace {

constexpr int64_t kLongNs = 1'000'000;

TEST(LingerTest, LooksOnForALittleWhileAfterADispatch) {
  Linger linger(/*cpus=*/2);
  EXPECT_FALSE(linger.Looking(1000));
  linger.Dispatched(1000, /*unfinished=*/1);
  EXPECT_TRUE(linger.Looking(1001));
  EXPECT_FALSE(linger.Looking(1000 + kLongNs));
  EXPECT_FALSE(linger.Looking(1001)) << "it has ended";
}

TEST(LingerTest, EndsWithTheAnswer) {
  Linger linger(2);
  linger.Dispatched(1000, 1);
  linger.Answered();
  EXPECT_FALSE(linger.Looking(1001));
}

TEST(LingerTest, TakesNoCpuThatATaskCouldHave) {
  Linger one(1);
  one.Dispatched(1000, 1);
  EXPECT_FALSE(one.Looking(1001));
  Linger four(4);
  four.Dispatched(1000, 4);
  EXPECT_FALSE(four.Looking(1001));
  four.Dispatched(1000, 3);
  EXPECT_TRUE(four.Looking(1001));
}

// How many of the next 1000 dispatches are looked after when no answer comes in time.
int LooksInVain(Linger& linger, int64_t* now_ns) {
  int looks = 0;
  for (int i = 0; i < 1000; ++i) {
    linger.Dispatched(*now_ns, 1);
    looks += linger.Looking(*now_ns) ? 1 : 0;
    *now_ns += kLongNs;
    linger.Looking(*now_ns);
  }
  return looks;
}

TEST(LingerTest, GivesUpMoreAndMoreWhenAnswersTakeLonger) {
  Linger linger(2);
  int64_t now_ns = 1000;
  EXPECT_LT(LooksInVain(linger, &now_ns), 20);
  const int later = LooksInVain(linger, &now_ns);
  EXPECT_LT(later, 10);
  EXPECT_GT(later, 0) << "it has to notice when tasks become short again";
}

TEST(LingerTest, AnAnswerInTimeRestoresIt) {
  Linger linger(2);
  int64_t now_ns = 1000;
  LooksInVain(linger, &now_ns);
  bool looked = false;
  while (!looked) {
    linger.Dispatched(now_ns, 1);
    looked = linger.Looking(now_ns);
  }
  linger.Answered();
  for (int i = 0; i < 10; ++i) {
    linger.Dispatched(now_ns, 1);
    EXPECT_TRUE(linger.Looking(now_ns));
    linger.Answered();
  }
}

}  // namespace
}  // namespace prefork::engine
