#include "server/rpc/socket_activation.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/os/errno_status.h"
#include "common/os/pipe.h"

namespace prefork::rpc {
namespace {

constexpr int kFirstFd = 3;  // SD_LISTEN_FDS_START
constexpr int kMaxFds = 64;

int IntVariable(const char* name) {
  const char* text = std::getenv(name);
  int value = 0;
  return text != nullptr && absl::SimpleAtoi(text, &value) ? value : 0;
}

int IntOption(int fd, int option) {
  int value = -1;
  socklen_t size = sizeof(value);
  return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

}  // namespace

absl::StatusOr<std::vector<os::Fd>> TakeActivatedSockets() {
  const bool ours = IntVariable("LISTEN_PID") == getpid();
  const int count = ours ? IntVariable("LISTEN_FDS") : 0;
  for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) unsetenv(name);
  if (count < 0 || count > kMaxFds) {
    return absl::InvalidArgumentError(
        absl::StrCat("LISTEN_FDS is ", count, ", not between 0 and ", kMaxFds));
  }
  std::vector<os::Fd> sockets;
  for (int fd = kFirstFd; fd < kFirstFd + count; ++fd) {
    os::Fd socket(fd);
    if (IntOption(fd, SO_DOMAIN) != AF_UNIX || IntOption(fd, SO_TYPE) != SOCK_STREAM ||
        IntOption(fd, SO_ACCEPTCONN) != 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("descriptor ", fd,
                       " from LISTEN_FDS is no listening Unix stream socket; the socket unit "
                       "needs ListenStream= with a path"));
    }
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) return os::ErrnoStatus(errno, "fcntl F_SETFD");
    const absl::Status non_blocking = os::SetNonBlocking(fd, true);
    if (!non_blocking.ok()) return non_blocking;
    sockets.push_back(std::move(socket));
  }
  return sockets;
}

}  // namespace prefork::rpc
