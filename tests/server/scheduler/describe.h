#ifndef PREFORK_TESTS_SERVER_SCHEDULER_DESCRIBE_H_
#define PREFORK_TESTS_SERVER_SCHEDULER_DESCRIBE_H_

#include <string>

#include "server/scheduler/action.h"

namespace prefork::scheduler {

// "dispatch 3 w10 notify", "state 3 SUCCEEDED COMPLETED", "kill w10 for 3 TIMEOUT", ...
std::string Describe(const Action& action);

}  // namespace prefork::scheduler

#endif  // PREFORK_TESTS_SERVER_SCHEDULER_DESCRIBE_H_
