#include "server/main/idle_watch.h"

#include "gtest/gtest.h"

namespace prefork::main {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kBegin = 1'000 * kSecond;

TEST(IdleWatchTest, ExpiresAfterTheTimeoutWithoutActivity) {
  IdleWatch watch(absl::Seconds(40));
  const IdleWatch::Sample quiet;
  EXPECT_FALSE(watch.Expired(quiet, kBegin));
  EXPECT_FALSE(watch.Expired(quiet, kBegin + 39 * kSecond));
  EXPECT_TRUE(watch.Expired(quiet, kBegin + 40 * kSecond));
}

TEST(IdleWatchTest, NeedsTwoSamplesWhenEachComesAfterATimeout) {
  IdleWatch watch(absl::Seconds(40));
  const IdleWatch::Sample after_work = {.last_event = 9, .connections = 2};
  EXPECT_FALSE(watch.Expired(after_work, kBegin));
  EXPECT_TRUE(watch.Expired(after_work, kBegin + absl::ToInt64Nanoseconds(watch.period())));
}

TEST(IdleWatchTest, TimeBeginsAnewWithTheSampleThatShowsSomethingNew) {
  for (const IdleWatch::Sample& activity :
       {IdleWatch::Sample{.last_event = 5}, IdleWatch::Sample{.connections = 1}}) {
    IdleWatch watch(absl::Seconds(40));
    EXPECT_FALSE(watch.Expired({}, kBegin));
    EXPECT_FALSE(watch.Expired(activity, kBegin + 40 * kSecond));
    EXPECT_FALSE(watch.Expired(activity, kBegin + 79 * kSecond));
    EXPECT_TRUE(watch.Expired(activity, kBegin + 80 * kSecond));
  }
}

TEST(IdleWatchTest, IsNotIdleWhileThereIsASessionOrATask) {
  for (const IdleWatch::Sample& busy :
       {IdleWatch::Sample{.sessions = 1}, IdleWatch::Sample{.unfinished_tasks = 1}}) {
    IdleWatch watch(absl::Seconds(40));
    EXPECT_FALSE(watch.Expired({}, kBegin));
    EXPECT_FALSE(watch.Expired(busy, kBegin + 40 * kSecond));
    EXPECT_FALSE(watch.Expired(busy, kBegin + 500 * kSecond));
    EXPECT_FALSE(watch.Expired({}, kBegin + 510 * kSecond));
    EXPECT_FALSE(watch.Expired({}, kBegin + 549 * kSecond));
    EXPECT_TRUE(watch.Expired({}, kBegin + 550 * kSecond));
  }
}

}  // namespace
}  // namespace prefork::main
