#include "server/rpc/peer_registry.h"

#include <sys/socket.h>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace prefork::rpc {
namespace {

// The user "nobody": sees only what other remote clients submitted and steers no pool.
constexpr engine::Caller kRemote = {.uid = 65534, .privileged = false};

}  // namespace

void PeerRegistry::Register(int fd, const engine::Caller& caller) {
  absl::MutexLock lock(&mutex_);
  callers_[fd] = caller;
}

absl::StatusOr<engine::Caller> PeerRegistry::Find(absl::string_view peer) const {
  if (absl::StartsWith(peer, "ipv4:") || absl::StartsWith(peer, "ipv6:")) return kRemote;
  absl::string_view number = peer;
  int fd = -1;
  if (absl::ConsumePrefix(&number, "fd:") && absl::SimpleAtoi(number, &fd)) {
    absl::MutexLock lock(&mutex_);
    const auto found = callers_.find(fd);
    if (found != callers_.end()) return found->second;
  }
  return absl::UnauthenticatedError(absl::StrCat("the peer '", peer, "' is unknown"));
}

// gRPC owns the descriptors and may have closed some: what has such a number now is left alone unless it
// is a connection, and those that it could be by now (acceptor.cc) are gRPC's as well.
void PeerRegistry::DisconnectAll() const {
  absl::MutexLock lock(&mutex_);
  for (const auto& [fd, caller] : callers_) {
    int type = 0;
    socklen_t size = sizeof(type);
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM) {
      shutdown(fd, SHUT_RDWR);
    }
  }
}

}  // namespace prefork::rpc
