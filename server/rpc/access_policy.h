#ifndef PREFORK_SERVER_RPC_ACCESS_POLICY_H_
#define PREFORK_SERVER_RPC_ACCESS_POLICY_H_

#include <sys/types.h>

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/engine/types.h"

namespace prefork::rpc {

// Who may use the daemon, by the Unix user that the kernel names. Root and the daemon's own user are
// privileged. Of the others those on the list are let in, or, when the list is empty, whoever the
// socket's mode lets in.
class AccessPolicy {
 public:
  // `allow_users` are names or numbers. NOT_FOUND names a user that does not exist.
  static absl::StatusOr<AccessPolicy> Create(uid_t daemon_uid,
                                             const std::vector<std::string>& allow_users);

  // nullopt: the connection is to be closed.
  std::optional<engine::Caller> Admit(uid_t peer_uid) const;

 private:
  AccessPolicy(uid_t daemon_uid, std::set<uid_t> allowed)
      : daemon_uid_(daemon_uid), allowed_(std::move(allowed)) {}

  uid_t daemon_uid_;
  std::set<uid_t> allowed_;  // empty: everyone
};

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_ACCESS_POLICY_H_
