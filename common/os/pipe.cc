#include "common/os/pipe.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "common/os/errno_status.h"

namespace prefork::os {

absl::StatusOr<Pipe> CreatePipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe2");
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

absl::Status SetNonBlocking(int fd, bool non_blocking) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return ErrnoStatus(errno, "fcntl(F_GETFL)");
  const int wanted = non_blocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  if (fcntl(fd, F_SETFL, wanted) != 0) return ErrnoStatus(errno, "fcntl(F_SETFL)");
  return absl::OkStatus();
}

}  // namespace prefork::os
