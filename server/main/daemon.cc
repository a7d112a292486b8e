// The threads, and the order of birth and death.
//
//   main        event loop: signals, timers, what others post here
//   engine      owns tasks and pools
//   acceptor    takes connections, names the peers
//   gRPC's      reactors: translate and post
//   segments    serves the second socket, of clients on this host; another thread allocates for it
//
// Up: sockets (so that a second daemon fails before it starts a process), engine, server, acceptor,
// READY=1 when the pools accept work.
//
// Down, in Phase order:
//   kDraining   SIGTERM, Shutdown, idle: submits are refused, health says NOT_SERVING; calls go on
//   kHurrying   a second signal, SIGQUIT, `now`: what is unfinished is cancelled
//   kDown       the engine has no process left and has closed every stream. The acceptor ends, the server
//               waits a moment for calls to drain and cancels the rest, the engine's thread ends.
// The engine outlives the server, because reactors finish on its thread.
#include "server/main/daemon.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <csignal>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/os/signal.h"
#include "common/os/wait_status.h"
#include "common/segments/protocol.h"
#include "server/main/daemon_options.h"
#include "server/main/pool_reload.h"
#include "server/main/pool_summary.h"

namespace prefork::main {
namespace {

// Streams are closed by then; what is left are clients that do not read, and health watches.
constexpr absl::Duration kServerGrace = absl::Seconds(2);

}  // namespace

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Start(Options options) {
  std::unique_ptr<Daemon> daemon(new Daemon(std::move(options)));
  const absl::Status up = daemon->BringUp();
  if (!up.ok()) return up;
  return daemon;
}

Daemon::Daemon(Options options)
    : options_(std::move(options)),
      config_(options_.loaded.config),
      log_(*options_.log),
      segment_leases_(ToLeaseLimits(config_)) {}

Daemon::~Daemon() { TearDown(); }

// --- up ---

absl::Status Daemon::BringUp() {
  absl::StatusOr<std::unique_ptr<os::EventLoop>> loop = os::EventLoop::Create(os::Clock::System());
  if (!loop.ok()) return loop.status();
  loop_ = *std::move(loop);
  absl::Status up = OpenSockets();
  if (up.ok()) up = WatchSignals();
  if (up.ok()) up = StartEngine();
  if (up.ok()) up = StartServer();
  if (!up.ok()) return up;
  if (config_.daemon.idle_timeout != absl::InfiniteDuration()) {
    idle_watch_.emplace(config_.daemon.idle_timeout);
    ScheduleIdleCheck();
  }
  ScheduleWatchdog();
  log_.Notice(absl::StrCat("preforkd ", PREFORK_VERSION, " (pid ", getpid(), ") listens on ",
                           absl::StrJoin(addresses_, ", ")));
  return absl::OkStatus();
}

absl::Status Daemon::OpenSockets() {
  if (options_.activated_sockets.empty()) {
    absl::StatusOr<rpc::UnixListener> listener =
        rpc::UnixListener::Create({.path = config_.daemon.socket,
                                   .mode = static_cast<mode_t>(config_.daemon.socket_mode),
                                   .group = config_.daemon.socket_group});
    if (!listener.ok()) return listener.status();
    listener_.emplace(*std::move(listener));
  }
  absl::StatusOr<rpc::UnixListener> segments = rpc::UnixListener::CreateBeside(
      {.path = absl::StrCat(config_.daemon.socket, segments::kSocketSuffix),
       .mode = static_cast<mode_t>(config_.daemon.socket_mode),
       .group = config_.daemon.socket_group,
       .type = SOCK_SEQPACKET});
  if (segments.ok()) {
    segment_socket_.emplace(*std::move(segments));
  } else {
    log_.Warning(absl::StrCat("large payloads of clients on this host travel in chunks: ",
                              segments.status().message()));
  }
  addresses_.push_back(absl::StrCat("unix:", config_.daemon.socket));
  if (!config_.tls.listen.empty()) addresses_.push_back(config_.tls.listen);
  return absl::OkStatus();
}

absl::Status Daemon::WatchSignals() {
  absl::StatusOr<os::Fd> signals = os::CreateSignalfd({SIGTERM, SIGINT, SIGQUIT, SIGHUP});
  if (!signals.ok()) return signals.status();
  signals_ = *std::move(signals);
  return loop_->Watch(signals_.get(), EPOLLIN, [this](uint32_t) { OnSignals(); });
}

absl::Status Daemon::StartEngine() {
  engine::EngineOptions options = ToEngineOptions(config_, options_.worker_program);
  options.log = &log_;
  absl::StatusOr<std::unique_ptr<engine::Engine>> engine =
      engine::Engine::Create(options, os::Clock::System());
  if (!engine.ok()) return engine.status();
  engine_ = *std::move(engine);
  engine_->Start();
  return absl::OkStatus();
}

absl::Status Daemon::StartServer() {
  absl::StatusOr<rpc::AccessPolicy> policy =
      rpc::AccessPolicy::Create(geteuid(), config_.daemon.allow_users);
  if (!policy.ok()) return policy.status();
  if (segment_socket_.has_value()) {
    absl::StatusOr<std::unique_ptr<rpc::SegmentListener>> listener =
        rpc::SegmentListener::Start({.socket = segment_socket_->fd(),
                                     .policy = *policy,
                                     .engine = engine_.get(),
                                     .leases = &segment_leases_,
                                     .log = &log_});
    if (!listener.ok()) return listener.status();
    segment_listener_ = *std::move(listener);
  }
  rpc::RpcContext context;
  context.leases = segment_listener_ == nullptr ? nullptr : &segment_leases_;
  context.values = segment_listener_.get();
  context.engine = engine_.get();
  context.peers = &peers_;
  context.control = this;
  context.pool_defaults = config_.pool_defaults;
  context.version = PREFORK_VERSION;
  context.addresses = addresses_;
  absl::StatusOr<std::unique_ptr<rpc::Server>> server =
      rpc::Server::Start(context, {.listen = config_.tls.listen,
                                   .certificate = config_.tls.certificate,
                                   .key = config_.tls.key,
                                   .client_ca = config_.tls.client_ca});
  if (!server.ok()) return server.status();
  server_ = *std::move(server);
  engine_->Post([this] {
    engine_->SetReadinessListener(
        [this](const std::vector<engine::PoolInfo>& pools) { OnPoolsChanged(pools); });
  });

  std::vector<int> sockets;
  for (const os::Fd& socket : options_.activated_sockets) sockets.push_back(socket.get());
  if (listener_.has_value()) sockets.push_back(listener_->fd());
  absl::StatusOr<std::unique_ptr<rpc::Acceptor>> acceptor =
      rpc::Acceptor::Start({.sockets = std::move(sockets),
                            .policy = *std::move(policy),
                            .peers = &peers_,
                            .log = &log_,
                            .connection = [this](os::Fd connection) {
                              connections_.fetch_add(1, std::memory_order_relaxed);
                              server_->Serve(std::move(connection));
                            }});
  if (!acceptor.ok()) return acceptor.status();
  acceptor_ = *std::move(acceptor);
  return absl::OkStatus();
}

void Daemon::OnPoolsChanged(const std::vector<engine::PoolInfo>& pools) {
  server_->SetHealth(pools);
  loop_->Post([this, status = DescribePools(pools), over = StartIsOver(pools),
               ready_level = LevelOf(pools, log::Level::kNotice),
               level = LevelOf(pools, log::Level::kInfo)] {
    if (phase_ >= Phase::kDraining) return;
    if (over && phase_ == Phase::kStarting) {
      phase_ = Phase::kReady;
      options_.notify.Send(absl::StrCat("READY=1\nSTATUS=", status));
      log_.Write(ready_level, absl::StrCat("ready: ", status));
      return;
    }
    options_.notify.Send(absl::StrCat("STATUS=", status));
    log_.Write(level, status);
  });
}

void Daemon::Run() { loop_->Run(); }

// --- signals and timers ---

void Daemon::OnSignals() {
  while (const std::optional<int> signal = os::ReadSignalfd(signals_.get())) OnSignal(*signal);
}

void Daemon::OnSignal(int signal) {
  if (signal == SIGHUP) {
    Reload();
    return;
  }
  const bool at_once = signal == SIGQUIT || phase_ >= Phase::kDraining;
  Drain(at_once ? absl::ZeroDuration() : config_.daemon.drain_timeout, os::SignalName(signal));
}

void Daemon::RequestShutdown(bool now, std::optional<absl::Duration> drain_timeout) {
  loop_->Post([this, now, drain_timeout] {
    Drain(now ? absl::ZeroDuration() : drain_timeout.value_or(config_.daemon.drain_timeout),
          "a client's request");
  });
}

void Daemon::ScheduleIdleCheck() {
  const int64_t deadline_ns =
      loop_->clock()->MonotonicNs() + absl::ToInt64Nanoseconds(idle_watch_->period());
  loop_->AddTimer(deadline_ns, [this] {
    engine_->Post([this] {
      const engine::StatusInfo status = engine_->Status();
      IdleWatch::Sample sample;
      sample.sessions = status.sessions;
      sample.unfinished_tasks = status.tasks_unfinished;
      sample.last_event = status.last_sequence;
      sample.connections = connections_.load(std::memory_order_relaxed);
      loop_->Post([this, sample] { OnIdleSample(sample); });
    });
  });
}

void Daemon::OnIdleSample(const IdleWatch::Sample& sample) {
  if (phase_ >= Phase::kDraining) return;
  if (idle_watch_->Expired(sample, loop_->clock()->MonotonicNs())) {
    // A task may have come since the sample was taken: it may finish.
    Drain(config_.daemon.drain_timeout,
          absl::StrCat("idle for ", absl::FormatDuration(config_.daemon.idle_timeout)));
  } else {
    ScheduleIdleCheck();
  }
}

// The engine's thread has to pass the word on: the watchdog watches it, too.
void Daemon::ScheduleWatchdog() {
  if (!options_.notify.watchdog().has_value()) return;
  const absl::Duration period = *options_.notify.watchdog() / 2;
  loop_->AddTimer(loop_->clock()->MonotonicNs() + absl::ToInt64Nanoseconds(period), [this] {
    engine_->Post([this] {
      loop_->Post([this] {
        options_.notify.Send("WATCHDOG=1");
        ScheduleWatchdog();
      });
    });
  });
}

// --- reload ---

void Daemon::Reload() {
  if (phase_ >= Phase::kDraining) return;
  options_.notify.Send(
      absl::StrCat("RELOADING=1\nMONOTONIC_USEC=", loop_->clock()->MonotonicNs() / 1000));
  const absl::StatusOr<config::LoadedConfig> loaded = config::LoadConfig(options_.reload);
  if (loaded.ok()) {
    const ReloadPlan plan = PlanReload(config_, loaded->config);
    // What needs a restart stays as it is, and is reported again by the next reload.
    config_.pools = loaded->config.pools;
    config_.daemon.log_level = loaded->config.daemon.log_level;
    Apply(plan);
  } else {
    log_.Error(
        absl::StrCat("reload: the configuration is unchanged, because the new one is wrong: ",
                     loaded.status().message()));
  }
  options_.notify.Send("READY=1");
}

void Daemon::Apply(const ReloadPlan& plan) {
  if (plan.empty()) log_.Notice("reload: nothing has changed");
  if (plan.log_level_changed) log_.set_least(ToLogLevel(config_.daemon.log_level));
  for (const std::string& key : plan.needs_restart) {
    log_.Warning(absl::StrCat("reload: ", key, " has changed; it takes effect after a restart"));
  }
  engine_->Post([this, plan] { ReloadPools(plan, engine_.get(), &log_); });
}

// --- down ---

void Daemon::Drain(absl::Duration timeout, const std::string& why) {
  const Phase wanted = timeout == absl::ZeroDuration() ? Phase::kHurrying : Phase::kDraining;
  if (phase_ >= wanted) return;
  phase_ = wanted;
  const std::string words =
      wanted == Phase::kHurrying
          ? absl::StrCat("stopping now: ", why)
          : absl::StrCat("stopping: ", why, "; tasks get ", absl::FormatDuration(timeout));
  log_.Notice(words);
  options_.notify.Send(absl::StrCat("STOPPING=1\nSTATUS=", words));
  server_->SetDraining();
  engine_->Post([this, timeout] {
    engine_->Drain(timeout, [this] { loop_->Post([this] { OnDrained(); }); });
  });
}

void Daemon::OnDrained() {
  TearDown();
  loop_->Stop();
}

void Daemon::TearDown() {
  phase_ = Phase::kDown;
  acceptor_.reset();
  if (server_ != nullptr) server_->Shutdown(absl::Now() + kServerGrace);
  if (engine_ != nullptr) engine_->Stop();
  if (segment_listener_ != nullptr) segment_listener_->Stop();
  server_.reset();
  engine_.reset();
  // After the engine and its segments: what clients still look at is not given back under their eyes.
  segment_listener_.reset();
  segment_socket_.reset();
  listener_.reset();
}

}  // namespace prefork::main
