#ifndef PREFORK_SERVER_SCHEDULER_CHECK_H_
#define PREFORK_SERVER_SCHEDULER_CHECK_H_

namespace prefork::scheduler {

// Prints where and what to stderr and aborts.
[[noreturn]] void FailCheck(const char* what, const char* file, int line);

// For bugs of our own only, in every build: nothing a client or worker sends may get here. The
// builtins name the caller's place; Clang 14 has no std::source_location yet.
inline void Check(bool holds, const char* what, const char* file = __builtin_FILE(),
                  int line = __builtin_LINE()) {
  if (!holds) [[unlikely]] {
    FailCheck(what, file, line);
  }
}

}  // namespace prefork::scheduler

#endif  // PREFORK_SERVER_SCHEDULER_CHECK_H_
