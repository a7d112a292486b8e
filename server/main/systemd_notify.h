#ifndef PREFORK_SERVER_MAIN_SYSTEMD_NOTIFY_H_
#define PREFORK_SERVER_MAIN_SYSTEMD_NOTIFY_H_

#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"

namespace prefork::main {

// Tells the service manager how the daemon is (sd_notify(3)): one datagram to $NOTIFY_SOCKET each.
// Does nothing when nobody wants to know. Thread-compatible.
class SystemdNotify {
 public:
  // Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID and removes them, so that zygotes and tasks do
  // not speak for the daemon. Call it before the first thread starts.
  static SystemdNotify FromEnvironment();

  // `state` is one or more lines of "NAME=value", for example "READY=1". Losing one is no error.
  void Send(std::string_view state) const;

  // How often the manager wants WATCHDOG=1 at least.
  std::optional<absl::Duration> watchdog() const { return watchdog_; }

 private:
  std::string socket_;  // empty: none. '@' begins an abstract name
  std::optional<absl::Duration> watchdog_;
};

}  // namespace prefork::main

#endif  // PREFORK_SERVER_MAIN_SYSTEMD_NOTIFY_H_
