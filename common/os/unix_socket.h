#ifndef PREFORK_COMMON_OS_UNIX_SOCKET_H_
#define PREFORK_COMMON_OS_UNIX_SOCKET_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/os/fd.h"

namespace prefork::os {

// At most this many descriptors travel with one packet.
inline constexpr size_t kMaxPacketFds = 16;

// Two connected, blocking SOCK_SEQPACKET ends, both closed on exec.
absl::StatusOr<std::pair<Fd, Fd>> CreateSeqpacketPair();

// Sends one packet, whole or not at all; never raises SIGPIPE. `fds` are lent and stay open here.
// UNAVAILABLE: the buffer is full and `wait` is false. ABORTED: the other side closed. The rest:
// errno of sendmsg.
absl::Status SendPacket(int socket, std::string_view bytes, absl::Span<const int> fds, bool wait);

struct Packet {
  enum class State { kReceived, kWouldBlock, kClosed };
  State state = State::kWouldBlock;
  std::string bytes;      // empty unless kReceived
  std::vector<Fd> fds;    // closed on exec, owned
  bool fds_lost = false;  // this process had no room for all of them, and `fds` has none
};
// Receives one packet of at most `max_bytes`. A packet that is longer, or that carries more than
// kMaxPacketFds descriptors, is DATA_LOSS; it is consumed and no descriptor leaks. An empty packet
// counts as closed: SOCK_SEQPACKET can't tell it from the end.
absl::StatusOr<Packet> ReceivePacket(int socket, size_t max_bytes, bool wait);

}  // namespace prefork::os

#endif  // PREFORK_COMMON_OS_UNIX_SOCKET_H_
