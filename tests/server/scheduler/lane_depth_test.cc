#include "server/scheduler/lane_depth.h"

#include <cstdint>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace prefork::scheduler {
namespace {

constexpr int64_t kTarget = 1'000'000;

TEST(LaneDepthTest, BeginsAtOneAndDoublesWithEachLanesWorth) {
  LaneDepth depth(kTarget, 512);
  EXPECT_EQ(depth.depth(), 1U);
  for (uint32_t expected = 1; expected < 512; expected *= 2) {
    for (uint32_t i = 0; i < expected; ++i) {
      EXPECT_EQ(depth.depth(), expected);
      depth.OnFinished(1'000);
    }
  }
  EXPECT_EQ(depth.depth(), 512U);
}

TEST(LaneDepthTest, HoldsTheTargetsWorthOfWork) {
  struct Case {
    int64_t run_ns;
    uint32_t depth;
  };
  for (const Case& c : std::vector<Case>{{0, 512},
                                         {-5, 512},
                                         {100'000, 10},
                                         {kTarget / 2, 2},
                                         {kTarget - 1, 1},
                                         {kTarget, 1},
                                         {INT64_MAX, 1}}) {
    LaneDepth depth(kTarget, 512);
    for (int i = 0; i < 10'000; ++i) {
      depth.OnFinished(c.run_ns);
    }
    EXPECT_EQ(depth.depth(), c.depth) << c.run_ns << " ns";
  }
}

TEST(LaneDepthTest, OneLongTaskBringsItDownAndTinyOnesRestoreItSoon) {
  LaneDepth depth(kTarget, 512);
  for (int i = 0; i < 10'000; ++i) {
    depth.OnFinished(1'000);
  }
  depth.OnFinished(3600 * int64_t{1'000'000'000});
  EXPECT_EQ(depth.depth(), 1U);
  int tasks = 0;
  while (depth.depth() < 512) {
    depth.OnFinished(1'000);
    ++tasks;
  }
  EXPECT_LT(tasks, 2'000);
}

TEST(LaneDepthTest, SenselessLimitsMeanOneTask) {
  LaneDepth depth(/*target_ns=*/0, /*max_depth=*/0);
  for (int i = 0; i < 10; ++i) {
    depth.OnFinished(0);
  }
  EXPECT_EQ(depth.depth(), 1U);
}

}  // namespace
}  // namespace prefork::scheduler
