#include "server/pool/recycle_meter.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace prefork::pool {
namespace {

TEST(RecycleMeterTest, WithoutBoundsItIsNeverDueAndReadsNothing) {
  int reads = 0;
  RecycleMeter meter(PoolSpec(), [&](pid_t) -> absl::StatusOr<int64_t> {
    ++reads;
    return 1;
  });
  EXPECT_FALSE(meter.TasksDone(1'000'000, 1, 0));
  EXPECT_EQ(reads, 0);
}

TEST(RecycleMeterTest, IsDueAtMaxTasksAndStaysSo) {
  PoolSpec spec;
  spec.max_tasks_per_worker = 10;
  RecycleMeter meter(spec);
  EXPECT_FALSE(meter.TasksDone(9, 1, 0));
  EXPECT_TRUE(meter.TasksDone(1, 1, 0));
  EXPECT_TRUE(meter.TasksDone(1, 1, 0));
  EXPECT_EQ(meter.tasks_done(), 11U);
}

TEST(RecycleMeterTest, ReadsMemoryAtMostOnceAnInterval) {
  PoolSpec spec;
  spec.max_worker_rss_bytes = 100;
  int64_t rss = 50;
  int reads = 0;
  RecycleMeter meter(spec, [&](pid_t) -> absl::StatusOr<int64_t> {
    ++reads;
    return rss;
  });
  EXPECT_FALSE(meter.TasksDone(1, 1, 0));
  rss = 101;
  EXPECT_FALSE(meter.TasksDone(1, 1, RecycleMeter::kRssIntervalNs - 1));
  EXPECT_EQ(reads, 1);
  EXPECT_TRUE(meter.TasksDone(1, 1, RecycleMeter::kRssIntervalNs));
}

TEST(RecycleMeterTest, AProcessThatIsGoneIsNotDue) {
  PoolSpec spec;
  spec.max_worker_rss_bytes = 1;
  RecycleMeter meter(spec,
                     [](pid_t) -> absl::StatusOr<int64_t> { return absl::NotFoundError("gone"); });
  EXPECT_FALSE(meter.TasksDone(1, 1, 0));
}

TEST(RecycleMeterTest, ReadsARealProcess) {
  const auto rss = RecycleMeter::ReadProcessRss(getpid());
  ASSERT_TRUE(rss.ok()) << rss.status();
  EXPECT_GT(*rss, 100'000);
}

}  // namespace
}  // namespace prefork::pool
