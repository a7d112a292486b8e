#include "common/os/errno_status.h"

#include <cerrno>

#include "absl/strings/str_cat.h"

namespace prefork::os {
namespace {

const char* Cure(int error_number) {
  switch (error_number) {
    case EMFILE:
      return "raise the open files limit of this process (ulimit -n, LimitNOFILE=)";
    case ENFILE:
      return "raise the system's open files limit (sysctl fs.file-max)";
    case ENOMEM:
      return "free memory, or raise the cgroup's memory limit (MemoryMax=)";
    case EFBIG:
      return "raise the file size limit, which counts for shared memory too (ulimit -f, "
             "LimitFSIZE=)";
    case ENOSPC:
    case EDQUOT:
      return "free memory or disk space";
    case ETOOMANYREFS:
      return "too many descriptors are on their way to processes that do not receive them";
    default:
      return nullptr;
  }
}

}  // namespace

absl::Status ErrnoStatus(int error_number, absl::string_view what) {
  absl::Status status = absl::ErrnoToStatus(error_number, what);
  const char* cure = Cure(error_number);
  if (cure == nullptr) return status;
  return absl::ResourceExhaustedError(absl::StrCat(status.message(), "; ", cure));
}

absl::Status SpawnErrnoStatus(int error_number, absl::string_view what) {
  if (error_number != EAGAIN) return ErrnoStatus(error_number, what);
  return absl::ResourceExhaustedError(
      absl::StrCat(absl::ErrnoToStatus(EAGAIN, what).message(),
                   "; raise the limit on processes of this user or service (ulimit -u, TasksMax=, "
                   "sysctl kernel.pid_max)"));
}

}  // namespace prefork::os
