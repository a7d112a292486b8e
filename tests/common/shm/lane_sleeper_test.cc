#include "common/shm/lane_sleeper.h"

#include <fcntl.h>

#include <cstring>
#include <thread>

#include "common/os/eventfd.h"
#include "common/os/pipe.h"
#include "gtest/gtest.h"

namespace prefork::shm {
namespace {

constexpr int64_t kMillisecondNs = 1'000'000;
constexpr int64_t kLongNs = 20'000 * kMillisecondNs;  // a lost wake-up, not a slow machine

os::Fd Dup(int fd) { return os::Fd(fcntl(fd, F_DUPFD_CLOEXEC, 0)); }

class LaneSleeperTest : public ::testing::Test {
 protected:
  LaneSleeperTest()
      : owner_(*LaneOwner::Create({.down_bytes = 4096, .up_bytes = 4096})),
        guest_(*LaneGuest::Map(Dup(owner_.memfd()), Dup(owner_.down_eventfd()),
                               Dup(owner_.up_eventfd()))),
        control_(*os::CreatePipe()),
        sleeper_(*LaneSleeper::Create(&guest_, control_.read_end.get())) {}

  void Dispatch() {
    ASSERT_FALSE(owner_.down().Reserve(RecordKind::kTask, 8).empty());
    owner_.down().Commit();
    owner_.down().PublishAndWake();
  }

  LaneOwner owner_;
  LaneGuest guest_;
  os::Pipe control_;
  LaneSleeper sleeper_;
};

TEST_F(LaneSleeperTest, RecordsThatAreThereEndTheWaitAtOnce) {
  Dispatch();
  EXPECT_TRUE(sleeper_.WaitForWork(0, kLongNs).records);
}

TEST_F(LaneSleeperTest, TimesOutWithNothing) {
  const LaneSleeper::Wakeup wakeup = sleeper_.WaitForWork(kMillisecondNs, kMillisecondNs);
  EXPECT_FALSE(wakeup.records);
  EXPECT_FALSE(wakeup.control);
}

TEST_F(LaneSleeperTest, EveryTaskWakesASleeperAgain) {
  constexpr int kTasks = 2000;
  std::thread worker([this] {
    for (int done = 0; done < kTasks;) {
      ASSERT_TRUE(sleeper_.WaitForWork(0, kLongNs).records) << "lost wake-up after " << done;
      while ((*guest_.down().Next(true)).has_value()) {
        guest_.down().Release();
        ++done;
      }
    }
  });
  for (int i = 0; i < kTasks; ++i) {
    while (!owner_.down().HasRoom(8)) std::this_thread::yield();
    Dispatch();
  }
  worker.join();
}

TEST_F(LaneSleeperTest, EndOfTheControlSocketWakes) {
  control_.write_end.Reset();
  const LaneSleeper::Wakeup wakeup = sleeper_.WaitForWork(0, kLongNs);
  EXPECT_TRUE(wakeup.control);
  EXPECT_FALSE(wakeup.records);
}

TEST_F(LaneSleeperTest, FullUpQueueWaitsUntilTheEngineMakesRoom) {
  constexpr size_t kBytes = 200;
  constexpr int kResults = 5000;
  std::thread worker([this] {
    for (int sent = 0; sent < kResults;) {
      if (guest_.up().Reserve(RecordKind::kFinished, kBytes).empty()) {
        guest_.up().PublishAndWake();
        sleeper_.WaitForRoom(kBytes, kLongNs);
        ASSERT_TRUE(guest_.up().HasRoom(kBytes)) << "lost wake-up after " << sent;
        continue;
      }
      guest_.up().Commit();
      guest_.up().PublishAndWake();
      ++sent;
    }
  });
  for (int received = 0; received < kResults;) {
    auto record = owner_.up().Next(false);
    ASSERT_TRUE(record.ok());
    if (record->has_value()) {
      ++received;
      owner_.up().Release();
    } else {
      if (owner_.up().TakeProducerWaiting()) os::SignalEventfd(owner_.down_eventfd());
      std::this_thread::yield();
    }
  }
  worker.join();
}

}  // namespace
}  // namespace prefork::shm
