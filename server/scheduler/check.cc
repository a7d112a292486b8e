#include "server/scheduler/check.h"

#include <cstdio>
#include <cstdlib>
#include <source_location>

namespace prefork::scheduler {

void FailCheck(const char* what, std::source_location where) {
  std::fprintf(stderr, "%s:%u: check failed in %s: %s\n", where.file_name(),
               static_cast<unsigned>(where.line()), where.function_name(), what);
  std::abort();
}

}  // namespace prefork::scheduler
