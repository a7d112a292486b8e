#include "server/engine/finished_tasks.h"

#include <memory>
#include <optional>

#include "gtest/gtest.h"

namespace prefork::engine {
namespace {

class FinishedTasksTest : public ::testing::Test {
 protected:
  TaskSlot Finished(std::optional<absl::Duration> ttl = std::nullopt, size_t value_bytes = 0) {
    auto options = std::make_shared<TaskOptions>();
    options->result_ttl = ttl;
    const TaskSlot slot = tasks_.Add();
    TaskRecord& record = tasks_.at(slot);
    record.options = options;
    record.state = scheduler::TaskState::kSucceeded;
    if (value_bytes > 0) record.EnsureOutcome().value = Bytes(std::string(value_bytes, 'v'));
    return slot;
  }

  TaskTable tasks_{1};
};

constexpr int64_t kSecond = 1'000'000'000;

TEST_F(FinishedTasksTest, ATaskGoesWhenItsTimeIsOver) {
  FinishedTasks finished(&tasks_,
                         {.ttl = absl::Seconds(10), .max_tasks = 100, .max_bytes = 1 << 20});
  const TaskSlot first = Finished();
  finished.Add(first, 0);
  const TaskSlot second = Finished();
  finished.Add(second, 5 * kSecond);
  EXPECT_EQ(finished.NextExpiryNs(), 10 * kSecond);
  EXPECT_EQ(finished.TakeExpired(9 * kSecond), kNone);
  EXPECT_EQ(finished.TakeExpired(10 * kSecond), first);
  EXPECT_EQ(finished.TakeExpired(10 * kSecond), kNone);
  EXPECT_EQ(finished.NextExpiryNs(), 15 * kSecond);
}

TEST_F(FinishedTasksTest, OwnTimesToLiveAreHeldNextToTheCommonOne) {
  FinishedTasks finished(&tasks_,
                         {.ttl = absl::Seconds(10), .max_tasks = 100, .max_bytes = 1 << 20});
  const TaskSlot common = Finished();
  const TaskSlot longer = Finished(absl::Hours(1));
  const TaskSlot shorter = Finished(absl::Seconds(1));
  const TaskSlot forever = Finished(absl::InfiniteDuration());
  for (const TaskSlot slot : {common, longer, shorter, forever}) finished.Add(slot, 0);
  EXPECT_EQ(finished.TakeExpired(2 * kSecond), shorter);
  EXPECT_EQ(finished.TakeExpired(2 * kSecond), kNone);
  EXPECT_EQ(finished.TakeExpired(4000 * kSecond), common);
  EXPECT_EQ(finished.TakeExpired(4000 * kSecond), longer);
  EXPECT_EQ(finished.TakeExpired(INT64_MAX - 1), kNone);
  EXPECT_EQ(finished.size(), 1u);
}

TEST_F(FinishedTasksTest, OverTheCountTheOldestGo) {
  FinishedTasks finished(&tasks_, {.ttl = absl::Hours(1), .max_tasks = 2, .max_bytes = 1 << 20});
  const TaskSlot first = Finished();
  finished.Add(first, 0);
  finished.Add(Finished(), 1);
  EXPECT_EQ(finished.TakeExpired(2), kNone);
  finished.Add(Finished(), 2);
  EXPECT_EQ(finished.TakeExpired(3), first);
  EXPECT_EQ(finished.TakeExpired(3), kNone);
}

TEST_F(FinishedTasksTest, OverTheBytesTheOldestGo) {
  FinishedTasks finished(&tasks_, {.ttl = absl::Hours(1), .max_tasks = 100, .max_bytes = 100'000});
  const TaskSlot large = Finished(std::nullopt, 60'000);
  finished.Add(large, 0);
  EXPECT_EQ(finished.TakeExpired(1), kNone);
  const TaskSlot next = Finished(std::nullopt, 60'000);
  finished.Add(next, 1);
  EXPECT_EQ(finished.TakeExpired(1), large);
  EXPECT_EQ(finished.TakeExpired(1), kNone);
  EXPECT_GT(finished.bytes(), 60'000u);
}

TEST_F(FinishedTasksTest, RemovalFromTheMiddleKeepsOrderAndSums) {
  FinishedTasks finished(&tasks_,
                         {.ttl = absl::Seconds(1), .max_tasks = 100, .max_bytes = 1 << 20});
  const TaskSlot a = Finished();
  const TaskSlot b = Finished(std::nullopt, 1000);
  const TaskSlot c = Finished();
  for (const TaskSlot slot : {a, b, c}) finished.Add(slot, 0);
  finished.Remove(b);
  EXPECT_EQ(finished.TakeExpired(kSecond), a);
  EXPECT_EQ(finished.TakeExpired(kSecond), c);
  EXPECT_EQ(finished.TakeExpired(kSecond), kNone);
  EXPECT_EQ(finished.bytes(), 0u);
  EXPECT_EQ(finished.size(), 0u);
  EXPECT_EQ(finished.NextExpiryNs(), INT64_MAX);
}

TEST_F(FinishedTasksTest, ForMemoryOnlyThoseWithSegmentsGo) {
  FinishedTasks finished(&tasks_, {.ttl = absl::Hours(1), .max_tasks = 100, .max_bytes = 1 << 30});
  const auto segments = shm::SegmentPool::Create({});
  const auto holder = [&](std::optional<absl::Duration> ttl) {
    const TaskSlot slot = Finished(ttl);
    tasks_.at(slot).payload = Bytes(*segments->Lease(100'000, 0), 100'000);
    return slot;
  };
  const TaskSlot plain = Finished();
  const TaskSlot common = holder(std::nullopt);
  const TaskSlot own = holder(absl::Hours(2));
  for (const TaskSlot slot : {plain, common, own}) finished.Add(slot, 0);
  EXPECT_EQ(finished.TakeSegmentHolder(), common);
  EXPECT_EQ(finished.TakeSegmentHolder(), own);
  EXPECT_EQ(finished.TakeSegmentHolder(), kNone);
  EXPECT_EQ(finished.size(), 1u);
}

}  // namespace
}  // namespace prefork::engine
