#include "server/main/reload_plan.h"

#include "gmock/gmock.h"

namespace prefork::main {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

config::Config WithPools(const std::vector<std::string>& names) {
  config::Config config;
  for (const std::string& name : names) {
    pool::PoolSpec spec;
    spec.name = name;
    config.pools.push_back(spec);
  }
  return config;
}

TEST(ReloadPlanTest, TheSameConfigurationChangesNothing) {
  EXPECT_TRUE(PlanReload(WithPools({"a", "b"}), WithPools({"a", "b"})).empty());
}

TEST(ReloadPlanTest, PoolsComeAndGo) {
  const ReloadPlan plan = PlanReload(WithPools({"a", "b"}), WithPools({"b", "c"}));
  ASSERT_EQ(plan.added.size(), 1);
  EXPECT_EQ(plan.added[0].name, "c");
  EXPECT_THAT(plan.removed, ElementsAre("a"));
  EXPECT_THAT(plan.needs_restart, IsEmpty());
}

TEST(ReloadPlanTest, ASizeIsChangedAtOnceOtherKeysOfAPoolAreNot) {
  config::Config after = WithPools({"a"});
  after.pools[0].size = 7;
  after.pools[0].cwd = "/srv";
  const ReloadPlan plan = PlanReload(WithPools({"a"}), after);
  ASSERT_EQ(plan.resized.size(), 1);
  EXPECT_EQ(plan.resized[0].pool, "a");
  EXPECT_EQ(plan.resized[0].size, 7);
  EXPECT_THAT(plan.needs_restart, ElementsAre("pool.a.cwd"));
}

TEST(ReloadPlanTest, TheLogLevelChangesAtOnceOtherSettingsNeedARestart) {
  config::Config after = WithPools({"a"});
  after.daemon.log_level = config::LogLevel::kDebug;
  after.daemon.socket = "/elsewhere";
  after.limits.events = 5000;
  const ReloadPlan plan = PlanReload(WithPools({"a"}), after);
  EXPECT_TRUE(plan.log_level_changed);
  EXPECT_THAT(plan.needs_restart, ElementsAre("daemon.socket", "limits.events"));
}

}  // namespace
}  // namespace prefork::main
