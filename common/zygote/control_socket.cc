#include "common/zygote/control_socket.h"

#include <cerrno>

#include "common/os/check.h"
#include "common/os/errno_status.h"
#include "common/os/unix_socket.h"

namespace prefork::zygote {

absl::StatusOr<std::pair<ControlSocket, ControlSocket>> ControlSocket::CreatePair() {
  absl::StatusOr<std::pair<os::Fd, os::Fd>> ends = os::CreateSeqpacketPair();
  if (!ends.ok()) return ends.status();
  return std::make_pair(ControlSocket(std::move(ends->first)),
                        ControlSocket(std::move(ends->second)));
}

absl::Status ControlSocket::Send(const Message& message, absl::Span<const int> fds, bool wait) {
  PREFORK_CHECK(fds.size() == DescriptorCount(message));
  return os::SendPacket(fd_.get(), Encode(message), fds, wait);
}

absl::StatusOr<std::optional<ControlSocket::Received>> ControlSocket::Receive(bool wait) {
  absl::StatusOr<os::Packet> packet = os::ReceivePacket(fd_.get(), kMaxMessageBytes, wait);
  if (!packet.ok()) return packet.status();
  switch (packet->state) {
    case os::Packet::State::kWouldBlock:
      return std::nullopt;
    case os::Packet::State::kClosed:
      return absl::OutOfRangeError("the peer has closed the control socket");
    case os::Packet::State::kReceived:
      break;
  }
  const size_t sent_fds = packet->fds_lost ? kForkDescriptorCount : packet->fds.size();
  absl::StatusOr<Message> message = Decode(packet->bytes, sent_fds);
  if (packet->fds_lost && !message.ok()) {
    return os::ErrnoStatus(EMFILE, "recvmsg of a message with descriptors");
  }
  if (!message.ok()) return message.status();
  return Received{*std::move(message), std::move(packet->fds)};
}

bool IsClosed(const absl::Status& status) { return absl::IsOutOfRange(status); }

}  // namespace prefork::zygote
