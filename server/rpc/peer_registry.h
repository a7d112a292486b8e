#ifndef PREFORK_SERVER_RPC_PEER_REGISTRY_H_
#define PREFORK_SERVER_RPC_PEER_REGISTRY_H_

#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "server/engine/types.h"

namespace prefork::rpc {

// Who is at the other end of each connection that was handed to gRPC by descriptor. gRPC names such a
// peer "fd:N"; the acceptor registers N before the first byte of it is read. Thread-safe.
class PeerRegistry {
 public:
  // A number that is used again replaces its former holder.
  void Register(int fd, const engine::Caller& caller) ABSL_LOCKS_EXCLUDED(mutex_);

  // The caller behind grpc::ServerContext::peer(). Peers over TCP have shown a certificate of the
  // configured authority; they act as `remote`. UNAUTHENTICATED for a peer nobody registered.
  absl::StatusOr<engine::Caller> Find(absl::string_view peer) const ABSL_LOCKS_EXCLUDED(mutex_);

  // Cuts the connections that are still there, whatever waits in them.
  void DisconnectAll() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<int, engine::Caller> callers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_PEER_REGISTRY_H_
