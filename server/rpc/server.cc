#include "server/rpc/server.h"

#include <algorithm>
#include <chrono>
#include <climits>
#include <fstream>
#include <iterator>
#include <set>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "google/protobuf/stubs/logging.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "grpcpp/server_posix.h"
#include "server/rpc/call_counter.h"
#include "server/rpc/daemon_service.h"
#include "server/rpc/peer_registry.h"
#include "server/rpc/pool_service.h"
#include "server/rpc/task_service.h"
#include "server/rpc/worker_service.h"

namespace prefork::rpc {
namespace {

// Room for a batch of submits, or an upload's chunk, with its frame.
constexpr int kMaxReceiveBytes = 16 << 20;
// Clients may look for a dead connection this often.
constexpr int kMinPingIntervalMs = 10'000;

bool TakesWork(const engine::PoolInfo& pool) {
  return pool.state == engine::PoolState::kReady || pool.state == engine::PoolState::kPaused;
}

absl::StatusOr<std::string> ReadPem(const std::string& key, const std::string& path) {
  if (path.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("tls.listen needs ", key,
                     " too: TCP is served to clients with a certificate only, "
                     "because whoever connects may run programs here"));
  }
  std::ifstream file(path);
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file.is_open() || text.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(key, ": ", path, " can't be read or is empty"));
  }
  return text;
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeCredentials(const TlsOptions& tls) {
  const absl::StatusOr<std::string> certificate = ReadPem("tls.certificate", tls.certificate);
  if (!certificate.ok()) return certificate.status();
  const absl::StatusOr<std::string> key = ReadPem("tls.key", tls.key);
  if (!key.ok()) return key.status();
  const absl::StatusOr<std::string> client_ca = ReadPem("tls.client_ca", tls.client_ca);
  if (!client_ca.ok()) return client_ca.status();
  grpc::SslServerCredentialsOptions options(
      GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_key_cert_pairs.push_back({*key, *certificate});
  options.pem_root_certs = *client_ca;
  return grpc::SslServerCredentials(options);
}

class GrpcServer final : public Server {
 public:
  explicit GrpcServer(const RpcContext& rpc)
      : rpc_(WithCounter(rpc, &calls_)),
        task_service_(&rpc_),
        pool_service_(&rpc_),
        worker_service_(&rpc_),
        function_service_(&rpc_),
        daemon_service_(&rpc_) {}

  absl::Status Build(const TlsOptions& tls);
  void Serve(os::Fd connection) override;
  void SetHealth(const std::vector<engine::PoolInfo>& pools) override;
  void SetDraining() override;
  void Shutdown(absl::Time deadline) override;

 private:
  static RpcContext WithCounter(RpcContext rpc, CallCounter* calls) {
    rpc.calls = calls;
    return rpc;
  }

  CallCounter calls_;
  const RpcContext rpc_;
  TaskService task_service_;
  PoolService pool_service_;
  WorkerService worker_service_;
  FunctionService function_service_;
  DaemonService daemon_service_;
  std::unique_ptr<grpc::Server> server_;
  absl::Mutex health_mutex_;
  bool draining_ ABSL_GUARDED_BY(health_mutex_) = false;
  std::set<std::string> known_pools_ ABSL_GUARDED_BY(health_mutex_);
};

absl::Status GrpcServer::Build(const TlsOptions& tls) {
  // Malformed requests are answered with a Status; they are not news for the log.
  google::protobuf::SetLogHandler(nullptr);
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  builder.RegisterService(&task_service_);
  builder.RegisterService(&pool_service_);
  builder.RegisterService(&worker_service_);
  builder.RegisterService(&function_service_);
  builder.RegisterService(&daemon_service_);
  builder.SetMaxReceiveMessageSize(kMaxReceiveBytes);
  builder.SetMaxSendMessageSize(-1);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kMinPingIntervalMs);
  // Reflection is gRPC's own synchronous service. One thread waits for its calls, without looking up
  // every ten seconds.
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::CQ_TIMEOUT_MSEC, INT_MAX);
  int port = 0;
  if (!tls.listen.empty()) {
    absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> credentials = MakeCredentials(tls);
    if (!credentials.ok()) return credentials.status();
    builder.AddListeningPort(tls.listen, *credentials, &port);
  }
  server_ = builder.BuildAndStart();
  if (server_ == nullptr || (!tls.listen.empty() && port == 0)) {
    return absl::UnavailableError(
        tls.listen.empty()
            ? std::string("gRPC could not start its server")
            : absl::StrCat("tls.listen: ", tls.listen,
                           " can't be listened on: the address is in "
                           "use or not ours, or certificate and key do not belong together"));
  }
  return absl::OkStatus();
}

void GrpcServer::Serve(os::Fd connection) {
  grpc::AddInsecureChannelFromFd(server_.get(), connection.Release());
}

void GrpcServer::SetHealth(const std::vector<engine::PoolInfo>& pools) {
  absl::MutexLock lock(&health_mutex_);
  if (draining_) return;
  grpc::HealthCheckServiceInterface* health = server_->GetHealthCheckService();
  std::set<std::string> gone = std::move(known_pools_);
  known_pools_.clear();
  for (const engine::PoolInfo& pool : pools) {
    health->SetServingStatus(pool.spec.name, TakesWork(pool));
    known_pools_.insert(pool.spec.name);
    gone.erase(pool.spec.name);
  }
  for (const std::string& name : gone) health->SetServingStatus(name, false);
  health->SetServingStatus("", AcceptsWork(pools));
}

void GrpcServer::SetDraining() {
  absl::MutexLock lock(&health_mutex_);
  draining_ = true;
  server_->GetHealthCheckService()->SetServingStatus(false);
}

void GrpcServer::Shutdown(absl::Time deadline) {
  calls_.AwaitNone(deadline);
  // gRPC waits for the end of every connection, even for one whose client has stopped reading in the
  // middle of a write. All that is worth waiting for has been said.
  rpc_.peers->DisconnectAll();
  server_->Shutdown(std::chrono::system_clock::now());
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const RpcContext& rpc,
                                                      const TlsOptions& tls) {
  auto server = std::make_unique<GrpcServer>(rpc);
  const absl::Status built = server->Build(tls);
  if (!built.ok()) return built;
  return server;
}

bool AcceptsWork(const std::vector<engine::PoolInfo>& pools) {
  const bool starting = std::any_of(pools.begin(), pools.end(), [](const auto& pool) {
    return pool.state == engine::PoolState::kStarting;
  });
  return !starting && std::any_of(pools.begin(), pools.end(), TakesWork);
}

}  // namespace prefork::rpc
