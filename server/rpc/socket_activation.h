#ifndef PREFORK_SERVER_RPC_SOCKET_ACTIVATION_H_
#define PREFORK_SERVER_RPC_SOCKET_ACTIVATION_H_

#include <vector>

#include "absl/status/statusor.h"
#include "common/os/fd.h"

namespace prefork::rpc {

// The listening Unix sockets that the service manager opened for us (sd_listen_fds(3): LISTEN_PID,
// LISTEN_FDS), closed on exec from now on; empty when there are none. Clears the variables, so call it
// once, before the first thread starts. INVALID_ARGUMENT when one is no listening Unix stream socket.
absl::StatusOr<std::vector<os::Fd>> TakeActivatedSockets();

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_SOCKET_ACTIVATION_H_
