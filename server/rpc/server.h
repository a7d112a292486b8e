#ifndef PREFORK_SERVER_RPC_SERVER_H_
#define PREFORK_SERVER_RPC_SERVER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/os/fd.h"
#include "server/engine/types.h"
#include "server/rpc/rpc_context.h"

namespace prefork::rpc {

// TCP; off while `listen` is empty. All paths are of PEM files.
struct TlsOptions {
  std::string listen;  // "host:port"
  std::string certificate;
  std::string key;
  std::string client_ca;
};

// The gRPC server with all services, health and reflection. The engine outlives it.
class Server {
 public:
  // INVALID_ARGUMENT when TCP is wanted without all that TLS needs; UNAVAILABLE when the address can't
  // be listened on.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const RpcContext& rpc,
                                                       const TlsOptions& tls);
  virtual ~Server() = default;

  // Serves a connection whose descriptor is in the peer registry. Thread-safe.
  virtual void Serve(os::Fd connection) = 0;
  // What grpc.health.v1 says: each pool by its name; "" is the daemon, which serves when no pool is
  // still starting and one accepts work. Thread-safe, as is SetDraining, after which nothing serves.
  virtual void SetHealth(const std::vector<engine::PoolInfo>& pools) = 0;
  virtual void SetDraining() = 0;
  // Waits for open calls until the deadline, then cancels them; returns when all are over. The engine's
  // thread must run.
  virtual void Shutdown(absl::Time deadline) = 0;
};

// Do the pools, as far as they can, take work? No pool is starting any more, and one is ready.
bool AcceptsWork(const std::vector<engine::PoolInfo>& pools);

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_SERVER_H_
