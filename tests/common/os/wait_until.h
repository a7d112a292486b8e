#ifndef PREFORK_TESTS_COMMON_OS_WAIT_UNTIL_H_
#define PREFORK_TESTS_COMMON_OS_WAIT_UNTIL_H_

#include <functional>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace prefork::os {

// Looks at a condition that nothing announces, such as a file below /proc, every millisecond until
// it holds. Returns false when `timeout` is over, which is meant for a broken program and not for a
// slow machine.
inline bool WaitUntil(const std::function<bool()>& condition,
                      absl::Duration timeout = absl::Seconds(20)) {
  const absl::Time deadline = absl::Now() + timeout;
  while (!condition()) {
    if (absl::Now() > deadline) return false;
    absl::SleepFor(absl::Milliseconds(1));
  }
  return true;
}

}  // namespace prefork::os

#endif  // PREFORK_TESTS_COMMON_OS_WAIT_UNTIL_H_
