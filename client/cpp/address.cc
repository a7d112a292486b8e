#include "client/cpp/address.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/os/errno_status.h"
#include "common/os/fd.h"
#include "common/os/socket_path.h"

namespace prefork::client {
namespace {

absl::StatusOr<std::string> SocketPath(const std::string& address, const char* origin) {
  absl::string_view path = address;
  absl::ConsumePrefix(&path, "unix:");
  absl::ConsumePrefix(&path, "//");  // unix:///path, gRPC's other form
  if (path.empty() || path.front() != '/') {
    return absl::InvalidArgumentError(
        absl::StrCat("the daemon's address '", address, "' (from ", origin, ") is not the path of ",
                     "a Unix socket; write unix:/path/to/prefork.sock"));
  }
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the socket path '", path, "' (from ", origin, ") has ", path.size(),
                     " bytes; the kernel allows ", sizeof(sockaddr_un::sun_path) - 1));
  }
  return std::string(path);
}

}  // namespace

absl::StatusOr<AddressChoice> ResolveAddress(const std::string& given) {
  const char* const from_environment = std::getenv("PREFORK_ADDRESS");
  std::string address = given;
  const char* origin = "the caller";
  if (address.empty() && from_environment != nullptr) {
    address = from_environment;
    origin = "PREFORK_ADDRESS";
  }
  if (!address.empty()) {
    absl::StatusOr<std::string> path = SocketPath(address, origin);
    if (!path.ok()) return path.status();
    return AddressChoice{.socket_paths = {*std::move(path)}, .chosen = true};
  }
  AddressChoice choice;
  choice.socket_paths.push_back(os::DefaultSocketPath(geteuid(), std::getenv("XDG_RUNTIME_DIR")));
  if (choice.socket_paths.front() != os::kSystemSocketPath) {
    choice.socket_paths.emplace_back(os::kSystemSocketPath);
  }
  return choice;
}

absl::Status ProbeSocket(const std::string& path) {
  const os::Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return os::ErrnoStatus(errno, "socket(AF_UNIX)");
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
    return absl::OkStatus();
  }
  switch (errno) {
    case ENOENT:
      return absl::UnavailableError(absl::StrCat(path, " does not exist"));
    case ECONNREFUSED:
      return absl::UnavailableError(absl::StrCat(path, " is there, but no daemon listens on it"));
    case EACCES:
      return absl::PermissionDeniedError(absl::StrCat("no permission to connect to ", path,
                                                      "; is this user in the daemon's group?"));
    default:
      return os::ErrnoStatus(errno, absl::StrCat("connect to ", path));
  }
}

}  // namespace prefork::client
