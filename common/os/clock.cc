#include "common/os/clock.h"

#include <ctime>

#include "absl/time/clock.h"

namespace prefork::os {
namespace {

class SystemClock : public Clock {
 public:
  int64_t MonotonicNs() const override {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
  }
  absl::Time Wall() const override { return absl::Now(); }
};

}  // namespace

Clock* Clock::System() {
  static SystemClock* const clock = new SystemClock;
  return clock;
}

}  // namespace prefork::os
