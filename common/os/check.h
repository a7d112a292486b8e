#ifndef PREFORK_COMMON_OS_CHECK_H_
#define PREFORK_COMMON_OS_CHECK_H_

namespace prefork::os {

// Writes "file:line: check failed: condition" to stderr without allocating, then aborts.
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition);

}  // namespace prefork::os

// Aborts on a broken invariant of our own code. Never for anything that a client, a worker or the
// kernel can cause.
#define PREFORK_CHECK(condition)                       \
  (static_cast<bool>(condition) ? static_cast<void>(0) \
                                : ::prefork::os::CheckFailed(__FILE__, __LINE__, #condition))

#endif  // PREFORK_COMMON_OS_CHECK_H_
