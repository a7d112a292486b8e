#ifndef PREFORK_COMMON_OS_SOCKET_PATH_H_
#define PREFORK_COMMON_OS_SOCKET_PATH_H_

#include <sys/types.h>

#include <string>

namespace prefork::os {

// The system daemon's socket.
inline constexpr char kSystemSocketPath[] = "/run/prefork/prefork.sock";

// Where a daemon of user `uid` listens when nothing else is said, and where its clients look for
// it: kSystemSocketPath for root, else prefork/prefork.sock below `xdg_runtime_dir`, or, when that
// is null or empty, below /tmp in a directory that carries the uid.
std::string DefaultSocketPath(uid_t uid, const char* xdg_runtime_dir);

}  // namespace prefork::os

#endif  // PREFORK_COMMON_OS_SOCKET_PATH_H_
