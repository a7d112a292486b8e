#include "server/rpc/daemon_service.h"

#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "common/os/process_stats.h"
#include "server/engine/engine.h"
#include "server/engine/errors.h"
#include "server/rpc/field_reader.h"
#include "server/rpc/field_violations.h"
#include "server/rpc/pool_mapping.h"
#include "server/rpc/stream_call.h"
#include "server/rpc/unary_call.h"
#include "server/rpc/watch_call.h"

namespace prefork::rpc {
namespace {

absl::StatusOr<v1::ShutdownResponse> BeginShutdown(const UnaryCall& call,
                                                   const v1::ShutdownRequest& request) {
  if (!call.caller().privileged) {
    return engine::MakeError(absl::StatusCode::kPermissionDenied, engine::reason::kNotPermitted,
                             "only the daemon's own user and root may shut it down");
  }
  FieldViolations violations;
  FieldReader reader("", &violations);
  std::optional<absl::Duration> drain_timeout;
  if (request.has_drain_timeout()) {
    drain_timeout =
        reader.ReadDuration("drain_timeout", request.drain_timeout(), /*zero_allowed=*/true);
  }
  if (!violations.ok()) return violations.ToStatus();
  call.rpc().control->RequestShutdown(request.now(), drain_timeout);
  return v1::ShutdownResponse();
}

}  // namespace

grpc::ServerUnaryReactor* DaemonService::GetStatus(grpc::CallbackServerContext* context,
                                                   const grpc::ByteBuffer* in,
                                                   grpc::ByteBuffer* out) {
  return ServeOnEngine<v1::GetStatusRequest>(
      rpc_, context, in, out,
      [](const UnaryCall& call, const v1::GetStatusRequest&) -> absl::StatusOr<v1::DaemonStatus> {
        v1::DaemonStatus status;
        ToProto(call.engine().Status(), &status);
        status.set_version(call.rpc().version);
        status.set_pid(getpid());
        for (const std::string& address : call.rpc().addresses) status.add_addresses(address);
        const absl::StatusOr<os::ProcessStats> stats = os::ReadProcessStats(getpid());
        if (stats.ok()) status.set_rss_bytes(stats->rss_bytes);
        return status;
      });
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* DaemonService::Watch(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* in) {
  return ServeStream<v1::WatchEventsRequest>(
      rpc_, context, in,
      [this](const engine::Caller& caller,
             const v1::WatchEventsRequest& request) -> absl::StatusOr<std::shared_ptr<StreamCall>> {
        engine::WatchOptions options;
        options.tasks = options.workers = options.pools = true;
        options.output = options.progress = true;
        options.after_sequence = request.after_sequence();
        return std::make_shared<WatchCall>(rpc_, caller, std::move(options));
      });
}

grpc::ServerUnaryReactor* DaemonService::Shutdown(grpc::CallbackServerContext* context,
                                                  const grpc::ByteBuffer* in,
                                                  grpc::ByteBuffer* out) {
  return ServeOnEngine<v1::ShutdownRequest>(rpc_, context, in, out, BeginShutdown);
}

}  // namespace prefork::rpc
