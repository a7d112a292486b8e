#ifndef PREFORK_TESTS_INTEGRATION_WAIT_FOR_H_
#define PREFORK_TESTS_INTEGRATION_WAIT_FOR_H_

#include <functional>

#include "absl/time/time.h"

namespace prefork::testing {

// Looks again and again until `condition` holds; false when `timeout` has passed. For what another
// process does and nobody tells of.
bool WaitFor(const std::function<bool()>& condition, absl::Duration timeout = absl::Seconds(20));

}  // namespace prefork::testing

#endif  // PREFORK_TESTS_INTEGRATION_WAIT_FOR_H_
