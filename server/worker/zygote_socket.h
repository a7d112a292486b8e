#ifndef PREFORK_SERVER_WORKER_ZYGOTE_SOCKET_H_
#define PREFORK_SERVER_WORKER_ZYGOTE_SOCKET_H_

#include "absl/status/statusor.h"
#include "common/zygote/control_socket.h"

namespace prefork::worker {

// The socket to the daemon that started this process as a zygote. Taken out of the environment, so
// that no task sees it. FAILED_PRECONDITION: no daemon started it.
absl::StatusOr<zygote::ControlSocket> TakeDaemonSocket();

}  // namespace prefork::worker

#endif  // PREFORK_SERVER_WORKER_ZYGOTE_SOCKET_H_
