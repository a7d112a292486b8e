#ifndef PREFORK_SERVER_RPC_RPC_CONTEXT_H_
#define PREFORK_SERVER_RPC_RPC_CONTEXT_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/engine/types.h"
#include "server/pool/pool_spec.h"

namespace prefork::engine {
class Engine;
class SegmentLeases;
}  // namespace prefork::engine

namespace prefork::rpc {

class CallCounter;
class PeerRegistry;
class ValueSender;

// What the services may ask of the process around them.
class DaemonControl {
 public:
  virtual ~DaemonControl() = default;
  // Begins the end of the daemon and returns at once. `drain_timeout` unset: the configured one.
  // Called on the engine's thread.
  virtual void RequestShutdown(bool now, std::optional<absl::Duration> drain_timeout) = 0;
};

// What every call is given. All pointers are not owned and outlive the server.
struct RpcContext {
  engine::Engine* engine = nullptr;
  const PeerRegistry* peers = nullptr;
  DaemonControl* control = nullptr;
  CallCounter* calls = nullptr;  // the server's own
  // Null where clients get no segments.
  engine::SegmentLeases* leases = nullptr;
  ValueSender* values = nullptr;
  pool::PoolSpec pool_defaults;  // for pools that clients create
  std::string version;
  std::vector<std::string> addresses;
  // An upload from which nothing comes for so long is given up, with the memory it holds.
  absl::Duration upload_idle_timeout = absl::Minutes(1);
};

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_RPC_CONTEXT_H_
