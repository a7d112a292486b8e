#ifndef PREFORK_SERVER_RPC_SEGMENT_LISTENER_H_
#define PREFORK_SERVER_RPC_SEGMENT_LISTENER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/log/logger.h"
#include "common/os/event_loop.h"
#include "common/os/fd.h"
#include "server/engine/engine.h"
#include "server/engine/segment_leases.h"
#include "server/rpc/access_policy.h"
#include "server/rpc/segment_allocator.h"
#include "server/rpc/segment_client.h"
#include "server/rpc/value_sender.h"

namespace prefork::rpc {

// Serves the segment socket, on which clients of this host get and give large payloads by descriptor
// (common/segments/message.cc): accepts connections of those whom the policy lets in, and ends their
// leases when they end. One thread reads for all of them; answers go out from whichever thread has
// them.
class SegmentListener final : public ValueSender {
 public:
  struct Options {
    int socket = -1;  // listening, SOCK_SEQPACKET, non-blocking; not owned
    AccessPolicy policy;
    engine::Engine* engine = nullptr;         // not owned
    engine::SegmentLeases* leases = nullptr;  // not owned
    log::Logger* log = nullptr;               // not owned
    size_t max_clients = 4096;                // more are turned away: they do without segments
  };
  // Fails when descriptors run out.
  static absl::StatusOr<std::unique_ptr<SegmentListener>> Start(Options options);
  SegmentListener(const SegmentListener&) = delete;
  SegmentListener& operator=(const SegmentListener&) = delete;
  // REQUIRES: Stop was called.
  ~SegmentListener() override;

  // Ends the threads: nothing is read or answered any more. The engine has been stopped, and nobody
  // calls Send. What clients have leased stays theirs until the end of this object.
  void Stop();

  uint64_t Send(std::string_view token, uint32_t uid, const engine::Bytes& value) override
      ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using ClientRef = std::shared_ptr<SegmentClient>;

  SegmentListener(Options options, std::unique_ptr<os::EventLoop> loop);
  void WatchSocket();
  void OnConnections();
  void PauseAccepting();
  void Admit(os::Fd connection);
  void OnReady(const ClientRef& client);
  void Watch(const ClientRef& client);
  void Drop(const ClientRef& client);

  const Options options_;
  const std::unique_ptr<os::EventLoop> loop_;
  std::unique_ptr<SegmentAllocator> allocator_;

  // The loop's thread's own.
  struct Watched {
    ClientRef client;
    uint32_t events = 0;  // that it is watched for; 0: it is not
  };
  std::map<int, Watched> clients_;

  absl::Mutex mutex_;
  absl::flat_hash_map<std::string, ClientRef> by_token_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_SEGMENT_LISTENER_H_
