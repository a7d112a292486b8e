#ifndef PREFORK_SERVER_MAIN_DAEMON_H_
#define PREFORK_SERVER_MAIN_DAEMON_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/log/logger.h"
#include "common/os/event_loop.h"
#include "common/os/fd.h"
#include "server/config/loader.h"
#include "server/engine/engine.h"
#include "server/engine/segment_leases.h"
#include "server/main/idle_watch.h"
#include "server/main/reload_plan.h"
#include "server/main/systemd_notify.h"
#include "server/rpc/acceptor.h"
#include "server/rpc/peer_registry.h"
#include "server/rpc/rpc_context.h"
#include "server/rpc/segment_listener.h"
#include "server/rpc/server.h"
#include "server/rpc/unix_listener.h"

namespace prefork::main {

// The daemon as a whole: listens, runs the engine and the gRPC server, hears signals, tells the service
// manager how it is, and ends in order. The design note is in daemon.cc. Lives on the main thread.
class Daemon : private rpc::DaemonControl {
 public:
  struct Options {
    config::LoadedConfig loaded;
    config::LoadOptions reload;  // how to load it again
    std::string worker_program;
    std::vector<os::Fd> activated_sockets;  // instead of daemon.socket when there are any
    SystemdNotify notify;
    log::Logger* log = nullptr;  // not owned
  };
  // Brings everything up. Signals must be blocked already. ALREADY_EXISTS when a daemon answers on the
  // socket.
  static absl::StatusOr<std::unique_ptr<Daemon>> Start(Options options);
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;
  ~Daemon() override;

  // Serves until the end has come and everything is torn down.
  void Run();

 private:
  explicit Daemon(Options options);
  absl::Status BringUp();
  absl::Status OpenSockets();
  absl::Status StartEngine();
  absl::Status StartServer();
  absl::Status WatchSignals();

  void OnSignals();
  void OnSignal(int signal);
  // Any thread.
  void RequestShutdown(bool now, std::optional<absl::Duration> drain_timeout) override;
  void OnPoolsChanged(const std::vector<engine::PoolInfo>& pools);  // engine thread

  void Drain(absl::Duration timeout, const std::string& why);
  void OnDrained();
  void TearDown();

  void Reload();
  void Apply(const ReloadPlan& plan);
  void ScheduleIdleCheck();
  void OnIdleSample(const IdleWatch::Sample& sample);
  void ScheduleWatchdog();

  Options options_;
  config::Config config_;
  log::Logger& log_;
  std::unique_ptr<os::EventLoop> loop_;
  os::Fd signals_;
  std::optional<rpc::UnixListener> listener_;
  std::vector<std::string> addresses_;
  rpc::PeerRegistry peers_;
  std::unique_ptr<engine::Engine> engine_;
  engine::SegmentLeases segment_leases_;
  // Both empty where the second socket can't be had.
  std::optional<rpc::UnixListener> segment_socket_;
  std::unique_ptr<rpc::SegmentListener> segment_listener_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<rpc::Acceptor> acceptor_;
  std::optional<IdleWatch> idle_watch_;
  std::atomic<uint64_t> connections_{0};

  enum class Phase : uint8_t { kStarting, kReady, kDraining, kHurrying, kDown };
  Phase phase_ = Phase::kStarting;
};

}  // namespace prefork::main

#endif  // PREFORK_SERVER_MAIN_DAEMON_H_
