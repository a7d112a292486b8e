#ifndef PREFORK_TESTS_COMMON_OS_FAKE_CLOCK_H_
#define PREFORK_TESTS_COMMON_OS_FAKE_CLOCK_H_

#include <atomic>
#include <cstdint>

#include "absl/time/time.h"
#include "common/os/clock.h"

namespace prefork::os {

// A clock that only moves when the test says so. Thread-safe.
class FakeClock : public Clock {
 public:
  explicit FakeClock(int64_t now_ns = 1'000'000'000) : now_ns_(now_ns) {}

  int64_t MonotonicNs() const override { return now_ns_.load(); }
  // Starts at the epoch plus the monotonic time, so that both move together.
  absl::Time Wall() const override {
    return absl::UnixEpoch() + absl::Nanoseconds(MonotonicNs()) + wall_offset_;
  }

  void Advance(absl::Duration by) { now_ns_.fetch_add(absl::ToInt64Nanoseconds(by)); }
  // Only before other threads read the clock.
  void SetWallOffset(absl::Duration offset) { wall_offset_ = offset; }

 private:
  std::atomic<int64_t> now_ns_;
  absl::Duration wall_offset_ = absl::ZeroDuration();
};

}  // namespace prefork::os

#endif  // PREFORK_TESTS_COMMON_OS_FAKE_CLOCK_H_
