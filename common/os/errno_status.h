#ifndef PREFORK_COMMON_OS_ERRNO_STATUS_H_
#define PREFORK_COMMON_OS_ERRNO_STATUS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace prefork::os {

// "what: reason", and the cure where one is known (descriptor and memory limits, which are
// RESOURCE_EXHAUSTED). The code is that of absl::ErrnoToStatusCode.
absl::Status ErrnoStatus(int error_number, absl::string_view what);

// The same for fork and posix_spawn, whose EAGAIN means that a limit on processes is reached.
absl::Status SpawnErrnoStatus(int error_number, absl::string_view what);

}  // namespace prefork::os

#endif  // PREFORK_COMMON_OS_ERRNO_STATUS_H_
