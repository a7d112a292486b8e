#ifndef PREFORK_COMMON_ZYGOTE_CONTROL_SOCKET_H_
#define PREFORK_COMMON_ZYGOTE_CONTROL_SOCKET_H_

#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/os/fd.h"
#include "common/zygote/message.h"

namespace prefork::zygote {

// One end of the SEQPACKET connection between daemon and zygote, or daemon and worker. Used by one
// thread.
class ControlSocket {
 public:
  ControlSocket() = default;
  explicit ControlSocket(os::Fd fd) : fd_(std::move(fd)) {}
  // Two connected ends, blocking; the daemon's side receives with `wait` false.
  static absl::StatusOr<std::pair<ControlSocket, ControlSocket>> CreatePair();

  int fd() const { return fd_.get(); }
  bool valid() const { return fd_.valid(); }
  os::Fd ReleaseFd() { return std::move(fd_); }
  void Close() { fd_.Reset(); }

  // Sends the message with lent descriptors, as many as its type takes. UNAVAILABLE: the peer does
  // not read, its buffer is full (only with `wait` false, the daemon's way). ABORTED: the peer is
  // gone.
  absl::Status Send(const Message& message, absl::Span<const int> fds = {}, bool wait = false);

  struct Received {
    Message message;
    // As many as DescriptorCount says, owned, closed on exec. None with a FORK for whose descriptors
    // this process has no room; it can be refused.
    std::vector<os::Fd> fds;
  };
  // The next message. nullopt: nothing there now (only with `wait` false). OUT_OF_RANGE: the peer
  // closed, see IsClosed(). INVALID_ARGUMENT or DATA_LOSS: the peer sent nonsense.
  // RESOURCE_EXHAUSTED: this process has no room for the descriptors of anything but a FORK.
  absl::StatusOr<std::optional<Received>> Receive(bool wait);

 private:
  os::Fd fd_;
};

// Is this what Receive() says at the end of the connection?
bool IsClosed(const absl::Status& status);

}  // namespace prefork::zygote

#endif  // PREFORK_COMMON_ZYGOTE_CONTROL_SOCKET_H_
