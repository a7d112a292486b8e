#include "server/pool/restart_pacer.h"

#include <gtest/gtest.h>

#include "tests/common/os/fake_clock.h"

namespace prefork::pool {
namespace {

class RestartPacerTest : public ::testing::Test {
 protected:
  absl::Duration Wait() const {
    return absl::Nanoseconds(pacer.not_before_ns() - clock.MonotonicNs());
  }
  void DieAtOnce() { pacer.DiedAfterReady(clock.MonotonicNs(), clock.MonotonicNs(), false); }

  os::FakeClock clock;
  RestartPacer pacer;
};

TEST_F(RestartPacerTest, TheFirstStartIsAtOnce) { EXPECT_EQ(pacer.not_before_ns(), 0); }

TEST_F(RestartPacerTest, FailedStartsWaitASecondThenTwiceAsLongUpToThirty) {
  const absl::Duration expected[] = {absl::Seconds(1),  absl::Seconds(2),  absl::Seconds(4),
                                     absl::Seconds(8),  absl::Seconds(16), absl::Seconds(30),
                                     absl::Seconds(30), absl::Seconds(30)};
  for (const absl::Duration wait : expected) {
    pacer.StartFailed(clock.MonotonicNs());
    EXPECT_EQ(Wait(), wait);
    clock.Advance(wait);
  }
}

TEST_F(RestartPacerTest, AStartForgetsFailedStarts) {
  pacer.StartFailed(clock.MonotonicNs());
  pacer.StartFailed(clock.MonotonicNs());
  pacer.Started();
  pacer.StartFailed(clock.MonotonicNs());
  EXPECT_EQ(Wait(), absl::Seconds(1));
}

TEST_F(RestartPacerTest, SomeYoungDeathsAreTakenForBadLuck) {
  for (int i = 0; i < 3; ++i) {
    DieAtOnce();
    EXPECT_EQ(pacer.not_before_ns(), 0);
  }
  DieAtOnce();
  EXPECT_EQ(Wait(), absl::Seconds(1));
  pacer.Started();  // being ready proves nothing here
  DieAtOnce();
  EXPECT_EQ(Wait(), absl::Seconds(2));
}

TEST_F(RestartPacerTest, ADeathInGoodAgeOrAfterWorkIsNotHeldAgainstIt) {
  for (int i = 0; i < 10; ++i) {
    const int64_t ready_ns = clock.MonotonicNs();
    EXPECT_FALSE(pacer.DiedAfterReady(ready_ns, ready_ns, /*useful=*/true));
    clock.Advance(absl::Seconds(1));
    EXPECT_FALSE(pacer.DiedAfterReady(ready_ns, clock.MonotonicNs(), /*useful=*/false));
  }
  EXPECT_EQ(pacer.not_before_ns(), 0);
}

TEST_F(RestartPacerTest, ProbationEndsWhenItIsProven) {
  EXPECT_FALSE(pacer.on_probation());
  for (int i = 0; i < 5; ++i) DieAtOnce();
  EXPECT_TRUE(pacer.on_probation());
  pacer.Proven();
  EXPECT_FALSE(pacer.on_probation());
  EXPECT_EQ(pacer.not_before_ns(), 0);
}

}  // namespace
}  // namespace prefork::pool
