#include "common/os/fd.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "common/os/errno_status.h"

namespace prefork::os {

absl::StatusOr<Fd> Fd::Duplicate() const {
  const int copy = fcntl(fd_, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return ErrnoStatus(errno, "fcntl(F_DUPFD_CLOEXEC)");
  return Fd(copy);
}

void Fd::Reset(int fd) {
  // Linux frees the number even when close() fails with EINTR, so it is never repeated.
  if (fd_ >= 0) close(fd_);
  fd_ = fd;
}

}  // namespace prefork::os
