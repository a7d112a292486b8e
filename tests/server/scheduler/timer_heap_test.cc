#include "server/scheduler/timer_heap.h"

#include <cstdint>
#include <map>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "server/scheduler/types.h"

namespace prefork::scheduler {
namespace {

TEST(TimerHeapTest, NamesTheEarliest) {
  TimerHeap timers;
  const TimerHeap::Handle late = timers.Add(30, 3);
  timers.Add(20, 2);
  const TimerHeap::Handle early = timers.Add(10, 1);
  EXPECT_EQ(timers.next_task(), 1U);
  timers.Remove(early);
  EXPECT_EQ(timers.next_task(), 2U);
  timers.Move(late, 5);
  EXPECT_EQ(timers.next_task(), 3U);
  EXPECT_EQ(timers.next_ns(), 5);
  timers.Move(late, 50);
  EXPECT_EQ(timers.next_task(), 2U);
}

TEST(TimerHeapTest, AgreesWithASortedListWhateverIsDone) {
  std::mt19937 random(17);
  TimerHeap timers;
  std::map<TimerHeap::Handle, int64_t> expected;
  for (int i = 0; i < 20'000; ++i) {
    const int64_t at_ns = random() % 1'000;
    if (expected.empty() || random() % 3 != 0) {
      const TimerHeap::Handle handle = timers.Add(at_ns, 0);
      EXPECT_TRUE(expected.emplace(handle, at_ns).second) << "a handle was given twice";
    } else {
      const auto it =
          std::next(expected.begin(), static_cast<std::ptrdiff_t>(random() % expected.size()));
      if (random() % 2 == 0) {
        timers.Move(it->first, at_ns);
        it->second = at_ns;
      } else {
        timers.Remove(it->first);
        expected.erase(it);
      }
    }
    if (expected.size() > 100) {
      while (!expected.empty()) {
        timers.Remove(expected.begin()->first);
        expected.erase(expected.begin());
      }
    }
    ASSERT_EQ(timers.size(), expected.size());
    if (!expected.empty()) {
      int64_t least = INT64_MAX;
      for (const auto& [handle, at] : expected) {
        least = std::min(least, at);
      }
      ASSERT_EQ(timers.next_ns(), least);
    }
    timers.CheckInvariants();
  }
}

}  // namespace
}  // namespace prefork::scheduler
