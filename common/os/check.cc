#include "common/os/check.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace prefork::os {

void CheckFailed(const char* file, int line, const char* condition) {
  char text[512];
  const int length =
      snprintf(text, sizeof(text), "%s:%d: check failed: %s\n", file, line, condition);
  const size_t bytes =
      static_cast<size_t>(length) < sizeof(text) ? static_cast<size_t>(length) : sizeof(text);
  // Nothing can be done about a failing write: the process ends here.
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, text, bytes);
  abort();
}

}  // namespace prefork::os
