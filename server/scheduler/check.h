#ifndef PREFORK_SERVER_SCHEDULER_CHECK_H_
#define PREFORK_SERVER_SCHEDULER_CHECK_H_

#include <source_location>

namespace prefork::scheduler {

// Prints where and what to stderr and aborts.
[[noreturn]] void FailCheck(const char* what, std::source_location where);

// For bugs of our own only, in every build: nothing a client or worker sends may get here.
inline void Check(bool holds, const char* what,
                  std::source_location where = std::source_location::current()) {
  if (!holds) [[unlikely]] {
    FailCheck(what, where);
  }
}

}  // namespace prefork::scheduler

#endif  // PREFORK_SERVER_SCHEDULER_CHECK_H_
