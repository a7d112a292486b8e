#include "server/main/idle_watch.h"

#include "gtest/gtest.h"

namespace prefork::main {
namespace {

const absl::Time kBegin = absl::FromUnixSeconds(1'000'000);

TEST(IdleWatchTest, ExpiresAfterTheTimeoutWithoutActivity) {
  IdleWatch watch(absl::Seconds(40));
  const IdleWatch::Sample quiet;
  EXPECT_FALSE(watch.Expired(quiet, kBegin));
  EXPECT_FALSE(watch.Expired(quiet, kBegin + absl::Seconds(39)));
  EXPECT_TRUE(watch.Expired(quiet, kBegin + absl::Seconds(40)));
}

TEST(IdleWatchTest, AnythingAClientDoesBeginsTheTimeAnew) {
  const IdleWatch::Sample kActivities[] = {
      {.sessions = 1},
      {.unfinished_tasks = 1},
      {.last_event = 5},
      {.connections = 1},
  };
  for (const IdleWatch::Sample& activity : kActivities) {
    IdleWatch watch(absl::Seconds(40));
    EXPECT_FALSE(watch.Expired({}, kBegin));
    EXPECT_FALSE(watch.Expired(activity, kBegin + absl::Seconds(40)));
    // What grows only stays where it is now.
    IdleWatch::Sample after = activity;
    after.sessions = after.unfinished_tasks = 0;
    EXPECT_FALSE(watch.Expired(after, kBegin + absl::Seconds(50)));
    EXPECT_FALSE(watch.Expired(after, kBegin + absl::Seconds(89)));
    EXPECT_TRUE(watch.Expired(after, kBegin + absl::Seconds(90)));
  }
}

}  // namespace
}  // namespace prefork::main
