#include "server/rpc/access_policy.h"

#include <pwd.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace prefork::rpc {
namespace {

absl::StatusOr<uid_t> FindUser(const std::string& user) {
  uid_t uid;
  if (absl::SimpleAtoi(user, &uid)) return uid;
  const long suggested = sysconf(_SC_GETPW_R_SIZE_MAX);
  std::vector<char> buffer(suggested > 0 ? suggested : 1 << 14);
  passwd entry;
  passwd* found = nullptr;
  getpwnam_r(user.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (found == nullptr) {
    return absl::NotFoundError(
        absl::StrCat("daemon.allow_users: there is no user '", user, "' on this system"));
  }
  return found->pw_uid;
}

}  // namespace

absl::StatusOr<AccessPolicy> AccessPolicy::Create(uid_t daemon_uid,
                                                  const std::vector<std::string>& allow_users) {
  std::set<uid_t> allowed;
  for (const std::string& user : allow_users) {
    const absl::StatusOr<uid_t> uid = FindUser(user);
    if (!uid.ok()) return uid.status();
    allowed.insert(*uid);
  }
  return AccessPolicy(daemon_uid, std::move(allowed));
}

std::optional<engine::Caller> AccessPolicy::Admit(uid_t peer_uid) const {
  if (peer_uid == 0 || peer_uid == daemon_uid_) {
    return engine::Caller{.uid = peer_uid, .privileged = true};
  }
  if (!allowed_.empty() && !allowed_.contains(peer_uid)) return std::nullopt;
  return engine::Caller{.uid = peer_uid, .privileged = false};
}

}  // namespace prefork::rpc
