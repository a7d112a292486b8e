#include "server/engine/client_keys.h"

namespace prefork::engine {

scheduler::ClientKey ClientKeys::OpenSession(uint32_t uid, const std::string& client_name) {
  if (client_name.empty()) return next_++;
  Named& named = named_[std::make_pair(uid, client_name)];
  if (named.sessions++ == 0) named.key = next_++;
  return named.key;
}

void ClientKeys::CloseSession(uint32_t uid, const std::string& client_name) {
  const auto it = named_.find(std::make_pair(uid, client_name));
  if (it != named_.end() && --it->second.sessions == 0) named_.erase(it);
}

scheduler::ClientKey ClientKeys::ForCalls(uint32_t uid) {
  const auto [it, inserted] = calls_.try_emplace(uid, next_);
  if (inserted) ++next_;
  return it->second;
}

}  // namespace prefork::engine
