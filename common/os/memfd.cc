#include "common/os/memfd.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "common/os/errno_status.h"

namespace prefork::os {

absl::StatusOr<Fd> CreateSealedMemfd(const char* name, size_t size_bytes) {
  Fd fd(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) return ErrnoStatus(errno, absl::StrCat("memfd_create(", name, ")"));
  int result;
  do {
    result = fallocate(fd.get(), 0, 0, static_cast<off_t>(size_bytes));
  } while (result != 0 && errno == EINTR);
  if (result != 0) {
    return ErrnoStatus(errno, absl::StrCat("fallocate of ", size_bytes, " bytes for memfd ", name));
  }
  if (fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return ErrnoStatus(errno, absl::StrCat("fcntl(F_ADD_SEALS) of memfd ", name));
  }
  return fd;
}

absl::StatusOr<uint64_t> CheckSealedMemfd(int fd) {
  const int seals = fcntl(fd, F_GET_SEALS);
  if (seals < 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        absl::ErrnoToStatus(errno, absl::StrCat("fcntl(F_GET_SEALS) of descriptor ", fd)).message(),
        "; a memfd made with MFD_ALLOW_SEALING is needed"));
  }
  if ((seals & F_SEAL_SHRINK) == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("memfd at descriptor ", fd, " lacks F_SEAL_SHRINK"));
  }
  if ((seals & F_SEAL_GROW) == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("memfd at descriptor ", fd, " lacks F_SEAL_GROW"));
  }
  struct stat status;
  if (fstat(fd, &status) != 0) return ErrnoStatus(errno, absl::StrCat("fstat of descriptor ", fd));
  return static_cast<uint64_t>(status.st_size);
}

}  // namespace prefork::os
