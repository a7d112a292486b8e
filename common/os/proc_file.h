#ifndef PREFORK_COMMON_OS_PROC_FILE_H_
#define PREFORK_COMMON_OS_PROC_FILE_H_

#include <string>

#include "absl/status/statusor.h"

namespace prefork::os {

// The whole content of a small file, such as those below /proc and /sys. NOT_FOUND when it, or the
// process it tells about, does not exist. OUT_OF_RANGE over 1 MiB.
absl::StatusOr<std::string> ReadSmallFile(const std::string& path);

}  // namespace prefork::os

#endif  // PREFORK_COMMON_OS_PROC_FILE_H_
