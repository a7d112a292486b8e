#include "server/scheduler/check.h"

#include <cstdio>
#include <cstdlib>

namespace prefork::scheduler {

void FailCheck(const char* what, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: check failed: %s\n", file, line, what);
  std::abort();
}

}  // namespace prefork::scheduler
