#ifndef PREFORK_TESTS_INTEGRATION_OTHER_USERS_H_
#define PREFORK_TESTS_INTEGRATION_OTHER_USERS_H_

#include <string>

namespace prefork::testing {

// The directory that keeps other users from what is at `path`, such as a home that is closed to
// them; empty when they get there. Root's tests that become somebody else need that.
std::string ClosedDirectoryAbove(const std::string& path);

}  // namespace prefork::testing

#endif  // PREFORK_TESTS_INTEGRATION_OTHER_USERS_H_
