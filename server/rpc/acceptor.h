#ifndef PREFORK_SERVER_RPC_ACCEPTOR_H_
#define PREFORK_SERVER_RPC_ACCEPTOR_H_

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "common/log/logger.h"
#include "common/os/fd.h"
#include "server/rpc/access_policy.h"
#include "server/rpc/peer_registry.h"

namespace prefork::rpc {

// Accepts connections on Unix sockets in a thread of its own, asks the kernel who is at the other end,
// registers admitted peers and hands their descriptors on. The design note is in acceptor.cc.
class Acceptor {
 public:
  struct Options {
    std::vector<int> sockets;  // listening, non-blocking; not owned
    AccessPolicy policy;
    PeerRegistry* peers = nullptr;           // not owned
    log::Logger* log = nullptr;              // not owned
    std::function<void(os::Fd)> connection;  // on the acceptor's thread
  };
  static absl::StatusOr<std::unique_ptr<Acceptor>> Start(Options options);
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;
  // Ends the thread: no connection is handed on after it.
  ~Acceptor();

 private:
  Acceptor(Options options, os::Fd stop, os::Fd spare);
  void Run();
  void AcceptFrom(int socket);
  void Admit(os::Fd connection);
  os::Fd Renumber(os::Fd connection);
  void RefuseOne(int socket);

  const Options options_;
  const os::Fd stop_;
  os::Fd spare_;
  const int first_number_;
  const int last_number_;
  int next_number_;
  std::thread thread_;
};

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_ACCEPTOR_H_
