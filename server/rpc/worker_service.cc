#include "server/rpc/worker_service.h"

#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "server/engine/engine.h"
#include "server/rpc/pool_mapping.h"
#include "server/rpc/stream_call.h"
#include "server/rpc/unary_call.h"
#include "server/rpc/watch_call.h"

namespace prefork::rpc {
namespace {

// A pool that is named must exist; none named means all.
absl::Status CheckPool(const UnaryCall& call, const std::string& name) {
  return name.empty() ? absl::OkStatus() : call.engine().GetPool(name).status();
}

}  // namespace

grpc::ServerUnaryReactor* WorkerService::List(grpc::CallbackServerContext* context,
                                              const grpc::ByteBuffer* in, grpc::ByteBuffer* out) {
  return ServeOnEngine<v1::ListWorkersRequest>(
      rpc_, context, in, out,
      [](const UnaryCall& call,
         const v1::ListWorkersRequest& request) -> absl::StatusOr<v1::ListWorkersResponse> {
        const absl::Status known = CheckPool(call, request.pool());
        if (!known.ok()) return known;
        v1::ListWorkersResponse response;
        for (const engine::WorkerInfo& info : call.engine().ListWorkers(request.pool())) {
          ToProto(info, response.add_workers());
        }
        return response;
      });
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* WorkerService::Watch(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* in) {
  return ServeStream<v1::WatchWorkersRequest>(
      rpc_, context, in,
      [this](const engine::Caller& caller, const v1::WatchWorkersRequest& request)
          -> absl::StatusOr<std::shared_ptr<StreamCall>> {
        engine::WatchOptions options;
        options.workers = true;
        if (!request.pool().empty()) options.pool_names = {request.pool()};
        options.after_sequence = request.after_sequence();
        options.snapshot = request.after_sequence() == 0;
        return std::make_shared<WatchCall>(rpc_, caller, std::move(options));
      });
}

grpc::ServerUnaryReactor* WorkerService::Signal(grpc::CallbackServerContext* context,
                                                const grpc::ByteBuffer* in, grpc::ByteBuffer* out) {
  return ServeOnEngine<v1::SignalWorkerRequest>(
      rpc_, context, in, out,
      [](const UnaryCall& call,
         const v1::SignalWorkerRequest& request) -> absl::StatusOr<v1::SignalWorkerResponse> {
        const absl::StatusOr<engine::WorkerInfo> worker = call.engine().SignalWorker(
            call.caller(), request.pool(), request.index(), request.generation(), request.signal());
        if (!worker.ok()) return worker.status();
        v1::SignalWorkerResponse response;
        ToProto(*worker, response.mutable_worker());
        return response;
      });
}

grpc::ServerUnaryReactor* FunctionService::List(grpc::CallbackServerContext* context,
                                                const grpc::ByteBuffer* in, grpc::ByteBuffer* out) {
  return ServeOnEngine<v1::ListFunctionsRequest>(
      rpc_, context, in, out,
      [](const UnaryCall& call,
         const v1::ListFunctionsRequest& request) -> absl::StatusOr<v1::ListFunctionsResponse> {
        const absl::Status known = CheckPool(call, request.pool());
        if (!known.ok()) return known;
        v1::ListFunctionsResponse response;
        for (const engine::FunctionInfo& info : call.engine().ListFunctions(request.pool())) {
          ToProto(info, response.add_functions());
        }
        return response;
      });
}

}  // namespace prefork::rpc
