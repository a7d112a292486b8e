#ifndef PREFORK_COMMON_OS_CLOCK_H_
#define PREFORK_COMMON_OS_CLOCK_H_

#include <cstdint>

#include "absl/time/time.h"

namespace prefork::os {

// The two clocks of the daemon, injectable so that tests own time.
class Clock {
 public:
  virtual ~Clock() = default;
  // Nanoseconds of CLOCK_MONOTONIC: for deadlines and durations.
  virtual int64_t MonotonicNs() const = 0;
  // The calendar's time: only for display and for a client's not-before.
  virtual absl::Time Wall() const = 0;

  // The system's clocks; never destroyed.
  static Clock* System();
};

}  // namespace prefork::os

#endif  // PREFORK_COMMON_OS_CLOCK_H_
