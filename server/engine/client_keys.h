#ifndef PREFORK_SERVER_ENGINE_CLIENT_KEYS_H_
#define PREFORK_SERVER_ENGINE_CLIENT_KEYS_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "server/scheduler/types.h"

namespace prefork::engine {

// Who counts as one client in the scheduler's fair share: the sessions of one user with the same
// client name together; a session without a name for itself; all simple calls of a user together.
// Keys are not used again while the daemon runs.
class ClientKeys {
 public:
  // For a new session; give it back with CloseSession.
  scheduler::ClientKey OpenSession(uint32_t uid, const std::string& client_name);
  void CloseSession(uint32_t uid, const std::string& client_name);
  scheduler::ClientKey ForCalls(uint32_t uid);

 private:
  struct Named {
    scheduler::ClientKey key = 0;
    uint32_t sessions = 0;
  };
  scheduler::ClientKey next_ = 1;
  absl::flat_hash_map<std::pair<uint32_t, std::string>, Named> named_;
  absl::flat_hash_map<uint32_t, scheduler::ClientKey> calls_;
};

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_CLIENT_KEYS_H_
