#include "server/worker/zygote_socket.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/os/errno_status.h"
#include "common/os/fd.h"
#include "common/zygote/protocol.h"

namespace prefork::worker {

absl::StatusOr<zygote::ControlSocket> TakeDaemonSocket() {
  const char* text = std::getenv(zygote::kSocketVariable);
  if (text == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(
        "preforkd starts this program, with a socket's number in $", zygote::kSocketVariable));
  }
  const std::string value = text;
  unsetenv(zygote::kSocketVariable);
  int number = -1;
  int type = 0;
  socklen_t size = sizeof(type);
  if (!absl::SimpleAtoi(value, &number) ||
      getsockopt(number, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_SEQPACKET) {
    return absl::FailedPreconditionError(absl::StrCat("$", zygote::kSocketVariable, " is '", value,
                                                      "', which is no SEQPACKET socket of mine"));
  }
  os::Fd fd(number);
  if (fcntl(number, F_SETFD, FD_CLOEXEC) != 0) {
    return os::ErrnoStatus(errno, "fcntl(F_SETFD) of the daemon's socket");
  }
  return zygote::ControlSocket(std::move(fd));
}

}  // namespace prefork::worker
