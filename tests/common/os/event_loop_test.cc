#include "common/os/event_loop.h"

#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"
#include "common/os/eventfd.h"
#include "common/os/pipe.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/os/fake_clock.h"
#include "tests/common/os/open_fds.h"

namespace prefork::os {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int64_t kSecondNs = 1'000'000'000;

class EventLoopTest : public ::testing::Test {
 protected:
  EventLoopTest() : loop_(*EventLoop::Create(&clock_)) {}
  EventLoop::Callback Log(std::string what) {
    return [this, what = std::move(what)] { log_.push_back(what); };
  }
  FakeClock clock_;
  std::unique_ptr<EventLoop> loop_;
  std::vector<std::string> log_;
};

TEST_F(EventLoopTest, TimersFireInOrderOfDeadlineThenOfCreation) {
  const int64_t now_ns = clock_.MonotonicNs();
  loop_->AddTimer(now_ns + 20, Log("20"));
  loop_->AddTimer(now_ns + 10, Log("10 first"));
  loop_->AddTimer(now_ns + 10, Log("10 second"));
  loop_->RunOnce(0);
  EXPECT_THAT(log_, IsEmpty());
  clock_.Advance(absl::Nanoseconds(10));
  loop_->RunOnce(0);
  EXPECT_THAT(log_, ElementsAre("10 first", "10 second"));
  clock_.Advance(absl::Nanoseconds(10));
  loop_->RunOnce(0);
  EXPECT_THAT(log_, ElementsAre("10 first", "10 second", "20"));
}

TEST_F(EventLoopTest, CancelledTimerDoesNotFire) {
  const auto doomed = loop_->AddTimer(0, Log("doomed"));
  loop_->AddTimer(0, Log("kept"));
  loop_->CancelTimer(doomed);
  loop_->CancelTimer(doomed);
  loop_->RunOnce(0);
  EXPECT_THAT(log_, ElementsAre("kept"));
}

TEST_F(EventLoopTest, TimerMayCancelAnotherOneThatIsDue) {
  EventLoop::TimerId second = 0;
  loop_->AddTimer(0, [&] { loop_->CancelTimer(second); });
  second = loop_->AddTimer(0, Log("second"));
  loop_->RunOnce(0);
  EXPECT_THAT(log_, IsEmpty());
}

TEST_F(EventLoopTest, TimerThatRearmsItselfInThePastDoesNotHoldTheLoop) {
  std::function<void()> rearm = [&] {
    log_.push_back("tick");
    loop_->AddTimer(0, rearm);
  };
  loop_->AddTimer(0, rearm);
  loop_->RunOnce(0);
  EXPECT_THAT(log_, ElementsAre("tick"));
}

TEST_F(EventLoopTest, PostsRunInOrderAndAPostFromAPostRunsInTheNextPass) {
  loop_->Post([&] {
    log_.push_back("a");
    loop_->Post(Log("c"));
  });
  loop_->Post(Log("b"));
  loop_->RunOnce(kSecondNs);
  EXPECT_THAT(log_, ElementsAre("a", "b"));
  loop_->RunOnce(kSecondNs);
  EXPECT_THAT(log_, ElementsAre("a", "b", "c"));
}

TEST_F(EventLoopTest, DescriptorEventsReachTheirCallbackUntilUnwatched) {
  Fd event = *CreateEventfd();
  ASSERT_TRUE(loop_
                  ->Watch(event.get(), EPOLLIN,
                          [&](uint32_t events) {
                            EXPECT_EQ(events, static_cast<uint32_t>(EPOLLIN));
                            log_.push_back("readable");
                            ClearEventfd(event.get());
                          })
                  .ok());
  EXPECT_EQ(loop_->Watch(event.get(), EPOLLIN, [](uint32_t) {}).code(),
            absl::StatusCode::kAlreadyExists);
  SignalEventfd(event.get());
  loop_->RunOnce(kSecondNs);
  loop_->RunOnce(0);
  EXPECT_THAT(log_, ElementsAre("readable"));
  loop_->Unwatch(event.get());
  SignalEventfd(event.get());
  loop_->RunOnce(0);
  EXPECT_THAT(log_, ElementsAre("readable"));
}

TEST_F(EventLoopTest, UnwatchDropsAnEventThatWasFetchedAlready) {
  Fd events[2] = {*CreateEventfd(), *CreateEventfd()};
  for (const int i : {0, 1}) {
    SignalEventfd(events[i].get());
    // Both are ready. Whichever runs first replaces the other's watch by a new one of the same
    // number.
    ASSERT_TRUE(
        loop_
            ->Watch(events[i].get(), EPOLLIN,
                    [&, i](uint32_t) {
                      log_.push_back("first");
                      const int other = events[1 - i].get();
                      ClearEventfd(other);
                      loop_->Unwatch(other);
                      ASSERT_TRUE(
                          loop_->Watch(other, EPOLLIN, [&](uint32_t) { log_.push_back("stale"); })
                              .ok());
                    })
            .ok());
  }
  loop_->RunOnce(kSecondNs);
  EXPECT_THAT(log_, ElementsAre("first"));
}

TEST_F(EventLoopTest, ModifyChangesTheEvents) {
  Fd event = *CreateEventfd();
  ASSERT_TRUE(loop_->Watch(event.get(), EPOLLIN, [&](uint32_t) { log_.push_back("event"); }).ok());
  SignalEventfd(event.get());
  ASSERT_TRUE(loop_->Modify(event.get(), 0).ok());
  loop_->RunOnce(0);
  EXPECT_THAT(log_, IsEmpty());
  ASSERT_TRUE(loop_->Modify(event.get(), EPOLLIN).ok());
  loop_->RunOnce(0);
  EXPECT_THAT(log_, ElementsAre("event"));
  EXPECT_EQ(loop_->Modify(12345, EPOLLIN).code(), absl::StatusCode::kNotFound);
}

TEST_F(EventLoopTest, PassHandlerRunsAgainAfterArmingAndCallsTheSleepOffOnProgress) {
  int work = 0;
  loop_->SetPassHandler({.run =
                             [&] {
                               log_.push_back("run");
                               return work-- > 0;
                             },
                         .arm =
                             [&] {
                               log_.push_back("arm");
                               work = 1;  // something arrives between the last look and the sleep
                             },
                         .disarm = [&] { log_.push_back("disarm"); }});
  loop_->RunOnce(-1);  // would never return if it slept
  EXPECT_THAT(log_, ElementsAre("arm", "run", "disarm", "run"));
}

TEST_F(EventLoopTest, ProgressKeepsTheLoopAwakeWithoutArming) {
  loop_->SetPassHandler(
      {.run = [] { return true; }, .arm = [&] { log_.push_back("arm"); }, .disarm = [] {}});
  loop_->RunOnce(0);
  const uint64_t before = loop_->wakeups();
  for (int i = 0; i < 10; ++i) loop_->RunOnce(-1);
  EXPECT_EQ(loop_->wakeups(), before);
  EXPECT_THAT(log_, IsEmpty());
}

TEST_F(EventLoopTest, TimerAddedByThePassHandlerBoundsTheSleep) {
  bool added = false;
  loop_->SetPassHandler({.run =
                             [&] {
                               if (!added) loop_->AddTimer(0, Log("timer"));
                               added = true;
                               return false;
                             },
                         .arm = [] {},
                         .disarm = [] {}});
  loop_->RunOnce(-1);  // the handler runs after arming and adds a timer that is due
  EXPECT_THAT(log_, ElementsAre("timer"));
}

TEST(EventLoopCreateTest, OutOfDescriptorsIsResourceExhausted) {
  const FdShortage shortage(1);
  EXPECT_EQ(EventLoop::Create(Clock::System()).status().code(),
            absl::StatusCode::kResourceExhausted);
}

class RunningEventLoopTest : public ::testing::Test {
 protected:
  RunningEventLoopTest()
      : loop_(*EventLoop::Create(Clock::System())), thread_([this] { loop_->Run(); }) {}
  ~RunningEventLoopTest() override {
    loop_->Stop();
    thread_.join();
  }
  void RunOnLoop(EventLoop::Callback callback) {
    absl::Notification done;
    loop_->Post([&] {
      callback();
      done.Notify();
    });
    done.WaitForNotification();
  }
  std::unique_ptr<EventLoop> loop_;
  std::thread thread_;
};

TEST_F(RunningEventLoopTest, DoesNotWakeWhileNothingHappens) {
  RunOnLoop([&] { loop_->AddTimer(Clock::System()->MonotonicNs() + 3600 * kSecondNs, [] {}); });
  const uint64_t before = loop_->wakeups();
  absl::Notification never;
  never.WaitForNotificationWithTimeout(absl::Milliseconds(300));
  EXPECT_EQ(loop_->wakeups(), before);
  RunOnLoop([] {});
  EXPECT_EQ(loop_->wakeups(), before + 1);
}

TEST_F(RunningEventLoopTest, SleepsUntilATimerIsDue) {
  absl::Notification fired;
  const int64_t deadline_ns = Clock::System()->MonotonicNs() + 5'000'000;
  int64_t fired_ns = 0;
  RunOnLoop([&] {
    loop_->AddTimer(deadline_ns, [&] {
      fired_ns = Clock::System()->MonotonicNs();
      fired.Notify();
    });
  });
  fired.WaitForNotification();
  EXPECT_GE(fired_ns, deadline_ns);
}

TEST_F(RunningEventLoopTest, PostsOfManyThreadsAllRunInTheOrderOfEach) {
  constexpr int kThreads = 4, kPosts = 20'000;
  std::vector<std::vector<int>> seen(kThreads);
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kPosts; ++i) loop_->Post([&seen, t, i] { seen[t].push_back(i); });
    });
  }
  for (std::thread& thread : threads) thread.join();
  RunOnLoop([] {});
  for (const std::vector<int>& posts : seen) {
    ASSERT_EQ(posts.size(), static_cast<size_t>(kPosts));
    for (int i = 0; i < kPosts; ++i) ASSERT_EQ(posts[i], i);
  }
}

TEST(EventLoopStopTest, WhatWasPostedBeforeStopIsRun) {
  auto loop = *EventLoop::Create(Clock::System());
  bool ran = false;
  loop->Post([&] { ran = true; });
  loop->Stop();
  loop->Run();
  EXPECT_TRUE(ran);
}

}  // namespace
}  // namespace prefork::os
