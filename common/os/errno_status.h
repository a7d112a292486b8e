#ifndef PREFORK_COMMON_OS_ERRNO_STATUS_H_
#define PREFORK_COMMON_OS_ERRNO_STATUS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace prefork::os {

// "what: reason", with the cure where one is known: EMFILE, ENFILE, ENOMEM, ENOSPC, EDQUOT and
// EAGAIN of process creation become RESOURCE_EXHAUSTED; the others get the code of
// absl::ErrnoToStatusCode.
absl::Status ErrnoStatus(int error_number, absl::string_view what);

}  // namespace prefork::os

#endif  // PREFORK_COMMON_OS_ERRNO_STATUS_H_
