#ifndef PREFORK_CLIENT_CPP_AUTOSTART_H_
#define PREFORK_CLIENT_CPP_AUTOSTART_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace prefork::client {

// Makes sure that a daemon listens on the socket: starts a private one of this user unless another
// client is doing so already (see FindDaemon), and waits until it accepts connections. Errors name the program, the
// log file and its last lines.
absl::Status StartPrivateDaemon(const std::string& socket_path, const std::string& daemon_directory,
                                absl::Time deadline);

// $PREFORK_DAEMON, else preforkd in `directory` (empty: beside our own executable), else in PATH.
// NOT_FOUND says where it looked.
absl::StatusOr<std::string> FindDaemon(const std::string& directory = {});

// $XDG_STATE_HOME/prefork/preforkd.log, or below ~/.local/state.
std::string PrivateDaemonLogPath();

}  // namespace prefork::client

#endif  // PREFORK_CLIENT_CPP_AUTOSTART_H_
