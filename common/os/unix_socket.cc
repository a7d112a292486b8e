#include "common/os/unix_socket.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include "absl/strings/str_cat.h"
#include "common/os/check.h"
#include "common/os/errno_status.h"

namespace prefork::os {
namespace {

using ControlBuffer = std::array<char, CMSG_SPACE(kMaxPacketFds * sizeof(int))>;

// Takes every descriptor out of the control data, so that none is lost whatever is decided about
// the packet.
std::vector<Fd> TakeFds(msghdr* message) {
  std::vector<Fd> fds;
  for (cmsghdr* part = CMSG_FIRSTHDR(message); part != nullptr; part = CMSG_NXTHDR(message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
      fds.emplace_back(fd);
    }
  }
  return fds;
}

}  // namespace

absl::StatusOr<std::pair<Fd, Fd>> CreateSeqpacketPair() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return ErrnoStatus(errno, "socketpair(SOCK_SEQPACKET)");
  }
  return std::make_pair(Fd(ends[0]), Fd(ends[1]));
}

absl::Status SendPacket(int socket, std::string_view bytes, absl::Span<const int> fds, bool wait) {
  PREFORK_CHECK(!bytes.empty() && fds.size() <= kMaxPacketFds);
  iovec data = {const_cast<char*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) ControlBuffer control = {};
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    memcpy(CMSG_DATA(part), fds.data(), fds.size() * sizeof(int));
  }
  ssize_t sent;
  do {
    sent = sendmsg(socket, &message, MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT));
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return absl::OkStatus();
  if (errno == EPIPE || errno == ECONNRESET) {
    return absl::AbortedError("sendmsg: the other side has closed the socket");
  }
  return ErrnoStatus(
      errno, absl::StrCat("sendmsg of ", bytes.size(), " bytes and ", fds.size(), " descriptors"));
}

absl::StatusOr<Packet> ReceivePacket(int socket, size_t max_bytes, bool wait) {
  const auto buffer = std::make_unique_for_overwrite<char[]>(max_bytes);
  iovec data = {buffer.get(), max_bytes};
  alignas(cmsghdr) ControlBuffer control;
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t got;
  do {
    got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
  } while (got < 0 && errno == EINTR);
  Packet packet;
  if (got < 0) {
    if (errno == EAGAIN) return packet;
    if (errno != ECONNRESET) return ErrnoStatus(errno, "recvmsg");
    packet.state = Packet::State::kClosed;
    return packet;
  }
  packet.fds = TakeFds(&message);
  if ((message.msg_flags & MSG_TRUNC) != 0) {
    return absl::DataLossError(absl::StrCat("recvmsg: packet of more than ", max_bytes, " bytes"));
  }
  if ((message.msg_flags & MSG_CTRUNC) != 0) {
    if (packet.fds.size() >= kMaxPacketFds) {
      return absl::DataLossError(
          absl::StrCat("recvmsg: packet with more than ", kMaxPacketFds, " descriptors"));
    }
    packet.fds.clear();
    packet.fds_lost = true;
  }
  packet.state = got == 0 ? Packet::State::kClosed : Packet::State::kReceived;
  packet.bytes.assign(buffer.get(), static_cast<size_t>(got));
  return packet;
}

}  // namespace prefork::os
