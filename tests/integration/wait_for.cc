#include "tests/integration/wait_for.h"

#include "absl/time/clock.h"

namespace prefork::testing {

bool WaitFor(const std::function<bool()>& condition, absl::Duration timeout) {
  constexpr absl::Duration kBetweenLooks = absl::Milliseconds(2);
  const absl::Time deadline = absl::Now() + timeout;
  while (!condition()) {
    if (absl::Now() >= deadline) return condition();
    absl::SleepFor(kBetweenLooks);
  }
  return true;
}

}  // namespace prefork::testing
