#include "server/engine/task_table.h"

#include <map>
#include <random>
#include <vector>

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace prefork::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TaskId Id(const TaskTable& table, TaskSlot slot) { return table.at(slot).id; }

std::vector<TaskId> WalkAll(const TaskTable& table, TaskId cursor, bool backwards,
                            size_t limit = SIZE_MAX) {
  std::vector<TaskId> ids;
  table.Walk(cursor, backwards, [&](TaskSlot, const TaskRecord& task) {
    ids.push_back(task.id);
    return ids.size() < limit;
  });
  return ids;
}

TEST(TaskTableTest, FirstIdsOfRunsNeverMeetAndStayExactInDoubles) {
  const absl::Time year = absl::FromCivil(absl::CivilSecond(2026, 1, 1), absl::UTCTimeZone());
  EXPECT_EQ(FirstTaskId(year), 1'000'000'001u) << "at least one minute";
  EXPECT_EQ(FirstTaskId(year + absl::Minutes(2) + absl::Seconds(59)), 2'000'000'001u);
  EXPECT_EQ(FirstTaskId(year - absl::Hours(1)), 1'000'000'001u) << "a clock that is wrong";
  EXPECT_LT(FirstTaskId(absl::InfiniteFuture()), TaskId{1} << 53);
}

TEST(TaskTableTest, IdsAreConsecutiveAndFoundUntilRemoved) {
  TaskTable table(1001);
  const TaskSlot a = table.Add();
  const TaskSlot b = table.Add();
  EXPECT_EQ(Id(table, a), 1001u);
  EXPECT_EQ(Id(table, b), 1002u);
  EXPECT_EQ(table.Find(1001), a);
  EXPECT_EQ(table.Find(1003), kNone);
  EXPECT_EQ(table.Find(1000), kNone);
  EXPECT_EQ(table.Find(0), kNone);
  EXPECT_EQ(table.Find(UINT64_MAX), kNone);
  table.Remove(a);
  EXPECT_EQ(table.Find(1001), kNone);
  EXPECT_EQ(table.Find(1002), b);
  EXPECT_EQ(table.size(), 1u);
}

TEST(TaskTableTest, AWithdrawnTaskLeavesNoGap) {
  TaskTable table(1);
  table.Add();
  table.Withdraw(table.Add());
  EXPECT_EQ(Id(table, table.Add()), 2u);
}

TEST(TaskTableTest, SlotsAreReusedAndComeBackEmpty) {
  TaskTable table(1);
  const TaskSlot slot = table.Add();
  table.at(slot).EnsureDetail().request_id = "x";
  table.Remove(slot);
  TaskId id = 1;
  while (table.Add() != slot) ++id;  // the others of its block come first
  EXPECT_EQ(table.at(slot).detail, nullptr);
  EXPECT_EQ(table.at(slot).id, id + 1);
}

TEST(TaskTableTest, WalksInBothDirectionsFromACursor) {
  TaskTable table(10);
  for (int i = 0; i < 5; ++i) table.Add();
  table.Remove(table.Find(12));
  EXPECT_THAT(WalkAll(table, 0, false), ElementsAre(10, 11, 13, 14));
  EXPECT_THAT(WalkAll(table, 11, false), ElementsAre(13, 14));
  EXPECT_THAT(WalkAll(table, 0, true), ElementsAre(14, 13, 11, 10));
  EXPECT_THAT(WalkAll(table, 13, true), ElementsAre(11, 10));
  EXPECT_THAT(WalkAll(table, 0, false, 2), ElementsAre(10, 11));
  EXPECT_THAT(WalkAll(table, 14, false), IsEmpty());
  EXPECT_THAT(WalkAll(table, 10, true), IsEmpty());
}

// Random life against a simple model, across many pages.
TEST(TaskTableTest, BehavesLikeAnOrderedMap) {
  std::mt19937 random(11);
  TaskTable table(500);
  std::map<TaskId, TaskSlot> model;
  for (int step = 0; step < 20'000; ++step) {
    if (model.empty() || random() % 100 < 55) {
      const TaskSlot slot = table.Add();
      model[Id(table, slot)] = slot;
    } else {
      auto victim = model.lower_bound(500 + random() % (table.next_id() - 500));
      if (victim == model.end()) victim = std::prev(victim);
      table.Remove(victim->second);
      model.erase(victim);
    }
  }
  ASSERT_EQ(table.size(), model.size());
  for (const auto& [id, slot] : model) EXPECT_EQ(table.Find(id), slot);
  std::vector<TaskId> ids;
  ids.reserve(model.size());
  for (const auto& [id, slot] : model) ids.push_back(id);
  EXPECT_EQ(WalkAll(table, 0, false), ids);
  std::reverse(ids.begin(), ids.end());
  EXPECT_EQ(WalkAll(table, 0, true), ids);
}

}  // namespace
}  // namespace prefork::engine
