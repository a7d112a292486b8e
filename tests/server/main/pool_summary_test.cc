#include "server/main/pool_summary.h"

#include "gtest/gtest.h"

namespace prefork::main {
namespace {

using engine::PoolState;

engine::PoolInfo Pool(const std::string& name, PoolState state, const std::string& reason = "") {
  engine::PoolInfo pool;
  pool.spec.name = name;
  pool.state = state;
  pool.reason = reason;
  return pool;
}

TEST(PoolSummaryTest, NamesEachPoolThatIsNotDeleted) {
  EXPECT_EQ(DescribePools({Pool("a", PoolState::kReady), Pool("b", PoolState::kDeleted),
                           Pool("c", PoolState::kStarting), Pool("d", PoolState::kPaused),
                           Pool("e", PoolState::kDraining)}),
            "pool a ready; pool c starting; pool d paused; pool e draining");
  EXPECT_EQ(DescribePools({}), "");
}

TEST(PoolSummaryTest, TheReasonOfADegradedPoolCanNotForgeALine) {
  EXPECT_EQ(DescribePools({Pool("a", PoolState::kDegraded, "no module\nREADY=1")}),
            "pool a DEGRADED: no module READY=1");
}

TEST(PoolSummaryTest, ADegradedPoolIsAWarning) {
  EXPECT_EQ(LevelOf({Pool("a", PoolState::kReady)}, log::Level::kInfo), log::Level::kInfo);
  EXPECT_EQ(LevelOf({Pool("a", PoolState::kReady), Pool("b", PoolState::kDegraded, "why")},
                    log::Level::kInfo),
            log::Level::kWarning);
}

TEST(PoolSummaryTest, TheStartIsOverWhenNoPoolIsStarting) {
  EXPECT_TRUE(StartIsOver({}));
  EXPECT_FALSE(StartIsOver({Pool("a", PoolState::kReady), Pool("b", PoolState::kStarting)}));
  EXPECT_TRUE(StartIsOver({Pool("a", PoolState::kReady), Pool("b", PoolState::kDegraded, "why")}))
      << "it is known not to come up";
}

}  // namespace
}  // namespace prefork::main
