// From a connection to a known peer:
//
//   accept4 -> SO_PEERCRED -> policy -> dup to a fresh number N -> peers.Register(N) -> gRPC ("fd:N")
//
// Why the number matters: gRPC closes the descriptor when the connection ends, maybe before the last calls
// that came over it have been looked at. Were N given out again at once, such a call would be taken for the
// next peer's, with that one's rights. So connections are numbered round robin over a range of their
// own, and a number comes back only after all others.
//
// Out of descriptors, accept fails and the socket stays readable: the spare descriptor is given up to
// take the connection and close it, so the client hears of it and the thread does not spin.
#include "server/rpc/acceptor.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/os/errno_status.h"
#include "common/os/eventfd.h"

namespace prefork::rpc {
namespace {

constexpr int kFirstNumber = 4096;
constexpr int kNumbers = 65'536;

// One past the largest descriptor this process may have.
int DescriptorLimit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  return static_cast<int>(std::min<rlim_t>(limit.rlim_cur, 1 << 30));
}

os::Fd OpenSpare() { return os::Fd(open("/dev/null", O_RDONLY | O_CLOEXEC)); }

}  // namespace

absl::StatusOr<std::unique_ptr<Acceptor>> Acceptor::Start(Options options) {
  absl::StatusOr<os::Fd> stop = os::CreateEventfd();
  if (!stop.ok()) return stop.status();
  os::Fd spare = OpenSpare();
  if (!spare.valid()) return os::ErrnoStatus(errno, "open /dev/null");
  std::unique_ptr<Acceptor> acceptor(
      new Acceptor(std::move(options), *std::move(stop), std::move(spare)));
  acceptor->thread_ = std::thread([raw = acceptor.get()] { raw->Run(); });
  return acceptor;
}

Acceptor::Acceptor(Options options, os::Fd stop, os::Fd spare)
    : options_(std::move(options)),
      stop_(std::move(stop)),
      spare_(std::move(spare)),
      // With a small limit the range is the upper half of what there is.
      first_number_(std::min(kFirstNumber, DescriptorLimit() / 2)),
      last_number_(std::min(kFirstNumber + kNumbers, DescriptorLimit())),
      next_number_(first_number_) {}

Acceptor::~Acceptor() {
  os::SignalEventfd(stop_.get());
  thread_.join();
}

void Acceptor::Run() {
  std::vector<pollfd> watched = {{stop_.get(), POLLIN, 0}};
  for (const int socket : options_.sockets) watched.push_back({socket, POLLIN, 0});
  while (true) {
    if (poll(watched.data(), watched.size(), -1) < 0 && errno != EINTR) {
      options_.log->Error(absl::StrCat("poll on the listening sockets: ", strerrordesc_np(errno),
                                       "; no new connections are taken"));
      return;
    }
    if (watched[0].revents != 0) return;
    for (size_t i = 1; i < watched.size(); ++i) {
      if (watched[i].revents != 0) AcceptFrom(watched[i].fd);
    }
  }
}

void Acceptor::AcceptFrom(int socket) {
  while (true) {
    os::Fd connection(accept4(socket, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (connection.valid()) {
      Admit(std::move(connection));
      continue;
    }
    switch (errno) {
      case EINTR:
      case ECONNABORTED:
        continue;
      case EAGAIN:
        return;
      default:
        options_.log->Warning(
            absl::StrCat("a connection is refused: accept4: ", strerrordesc_np(errno)));
        RefuseOne(socket);
        return;
    }
  }
}

void Acceptor::RefuseOne(int socket) {
  spare_.Reset();
  // Closed at once, so that its number is free for the spare again.
  os::Fd(accept4(socket, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)).Reset();
  spare_ = OpenSpare();
}

void Acceptor::Admit(os::Fd connection) {
  ucred peer = {};
  socklen_t size = sizeof(peer);
  if (getsockopt(connection.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
    options_.log->Warning(
        absl::StrCat("a connection is refused: SO_PEERCRED: ", strerrordesc_np(errno)));
    return;
  }
  std::optional<engine::Caller> caller = options_.policy.Admit(peer.uid);
  if (!caller.has_value()) {
    options_.log->Warning(absl::StrCat("a connection of user ", peer.uid, " (pid ", peer.pid,
                                       ") is refused: not in daemon.allow_users"));
    return;
  }
  caller->pid = peer.pid;
  connection = Renumber(std::move(connection));
  options_.peers->Register(connection.get(), *caller);
  options_.connection(std::move(connection));
}

os::Fd Acceptor::Renumber(os::Fd connection) {
  for (int attempt = 0; attempt < 2; ++attempt) {
    os::Fd renumbered(fcntl(connection.get(), F_DUPFD_CLOEXEC, next_number_));
    if (renumbered.valid() && renumbered.get() < last_number_) {
      next_number_ = renumbered.get() + 1;
      if (next_number_ >= last_number_) next_number_ = first_number_;
      return renumbered;
    }
    next_number_ = first_number_;
  }
  return connection;
}

}  // namespace prefork::rpc
