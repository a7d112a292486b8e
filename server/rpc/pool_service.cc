#include "server/rpc/pool_service.h"

#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "server/engine/engine.h"
#include "server/pool/pool_spec.h"
#include "server/rpc/field_violations.h"
#include "server/rpc/pool_mapping.h"
#include "server/rpc/stream_call.h"
#include "server/rpc/unary_call.h"
#include "server/rpc/watch_call.h"

namespace prefork::rpc {
namespace {

absl::StatusOr<v1::Pool> ToPool(const absl::StatusOr<engine::PoolInfo>& info) {
  if (!info.ok()) return info.status();
  v1::Pool pool;
  ToProto(*info, &pool);
  return pool;
}

// Whoever is gone waits for no effect.
void ForgetOnCancel(UnaryCall& call, engine::OrderId order) {
  if (order == 0) return;
  call.UndoOnCancel([&engine = call.engine(), order] { engine.CancelOrder(order); });
}

// Begins a change of a pool, and answers when the engine says that it is real.
template <typename Request, typename Change>
grpc::ServerUnaryReactor* ServeChange(const RpcContext& rpc, grpc::CallbackServerContext* context,
                                      const grpc::ByteBuffer* in, grpc::ByteBuffer* out,
                                      Change change) {
  return ServeUnary<Request>(
      rpc, context, in, out,
      [change](const std::shared_ptr<UnaryCall>& call, const std::shared_ptr<Request>& request) {
        call->engine().Post([change, call, request] {
          const engine::OrderId order =
              change(*call, *request, [call](const absl::StatusOr<engine::PoolInfo>& info) {
                const absl::StatusOr<v1::Pool> pool = ToPool(info);
                if (pool.ok()) {
                  call->Reply(*pool);
                } else {
                  call->Fail(pool.status());
                }
              });
          ForgetOnCancel(*call, order);
        });
      });
}

}  // namespace

PoolService::Unary* PoolService::Create(Context* context, const grpc::ByteBuffer* in,
                                        grpc::ByteBuffer* out) {
  return ServeOnEngine<v1::CreatePoolRequest>(
      rpc_, context, in, out,
      [](const UnaryCall& call, const v1::CreatePoolRequest& request) -> absl::StatusOr<v1::Pool> {
        const absl::StatusOr<pool::PoolSpec> spec =
            FromProto(request.pool(), call.rpc().pool_defaults);
        if (!spec.ok()) return spec.status();
        return ToPool(call.engine().CreatePool(call.caller(), *spec));
      });
}

PoolService::Unary* PoolService::Get(Context* context, const grpc::ByteBuffer* in,
                                     grpc::ByteBuffer* out) {
  return ServeOnEngine<v1::GetPoolRequest>(
      rpc_, context, in, out, [](const UnaryCall& call, const v1::GetPoolRequest& request) {
        return ToPool(call.engine().GetPool(request.name()));
      });
}

PoolService::Unary* PoolService::List(Context* context, const grpc::ByteBuffer* in,
                                      grpc::ByteBuffer* out) {
  return ServeOnEngine<v1::ListPoolsRequest>(
      rpc_, context, in, out,
      [](const UnaryCall& call,
         const v1::ListPoolsRequest&) -> absl::StatusOr<v1::ListPoolsResponse> {
        v1::ListPoolsResponse response;
        for (const engine::PoolInfo& info : call.engine().ListPools()) {
          ToProto(info, response.add_pools());
        }
        return response;
      });
}

PoolService::Unary* PoolService::Scale(Context* context, const grpc::ByteBuffer* in,
                                       grpc::ByteBuffer* out) {
  return ServeChange<v1::ScalePoolRequest>(
      rpc_, context, in, out,
      [](const UnaryCall& call, const v1::ScalePoolRequest& request,
         engine::Engine::PoolDone done) -> engine::OrderId {
        if (request.size() < 1 || request.size() > pool::kMaxPoolSize) {
          FieldViolations violations;
          violations.Add(
              "size", absl::StrCat(request.size(), " is not between 1 and ", pool::kMaxPoolSize));
          done(violations.ToStatus());
          return 0;
        }
        return call.engine().ScalePool(call.caller(), request.name(), request.size(),
                                       std::move(done));
      });
}

PoolService::Unary* PoolService::Pause(Context* context, const grpc::ByteBuffer* in,
                                       grpc::ByteBuffer* out) {
  return ServeChange<v1::PausePoolRequest>(
      rpc_, context, in, out,
      [](const UnaryCall& call, const v1::PausePoolRequest& request,
         engine::Engine::PoolDone done) -> engine::OrderId {
        return call.engine().PausePool(call.caller(), request.name(), true, std::move(done));
      });
}

PoolService::Unary* PoolService::Resume(Context* context, const grpc::ByteBuffer* in,
                                        grpc::ByteBuffer* out) {
  return ServeChange<v1::ResumePoolRequest>(
      rpc_, context, in, out,
      [](const UnaryCall& call, const v1::ResumePoolRequest& request,
         engine::Engine::PoolDone done) -> engine::OrderId {
        return call.engine().PausePool(call.caller(), request.name(), false, std::move(done));
      });
}

PoolService::Unary* PoolService::Drain(Context* context, const grpc::ByteBuffer* in,
                                       grpc::ByteBuffer* out) {
  return ServeChange<v1::DrainPoolRequest>(
      rpc_, context, in, out,
      [](const UnaryCall& call, const v1::DrainPoolRequest& request,
         engine::Engine::PoolDone done) -> engine::OrderId {
        return call.engine().DrainPool(call.caller(), request.name(), std::move(done));
      });
}

PoolService::Unary* PoolService::Reload(Context* context, const grpc::ByteBuffer* in,
                                        grpc::ByteBuffer* out) {
  return ServeChange<v1::ReloadPoolRequest>(
      rpc_, context, in, out,
      [](const UnaryCall& call, const v1::ReloadPoolRequest& request,
         engine::Engine::PoolDone done) -> engine::OrderId {
        return call.engine().ReloadPool(call.caller(), request.name(), std::move(done));
      });
}

PoolService::Unary* PoolService::Delete(Context* context, const grpc::ByteBuffer* in,
                                        grpc::ByteBuffer* out) {
  return ServeUnary<v1::DeletePoolRequest>(
      rpc_, context, in, out,
      [](const std::shared_ptr<UnaryCall>& call,
         const std::shared_ptr<v1::DeletePoolRequest>& request) {
        call->engine().Post([call, request] {
          const engine::OrderId order =
              call->engine().DeletePool(call->caller(), request->name(), request->force(),
                                        [call](const absl::StatusOr<engine::PoolInfo>& info) {
                                          if (info.ok()) {
                                            call->Reply(v1::DeletePoolResponse());
                                          } else {
                                            call->Fail(info.status());
                                          }
                                        });
          ForgetOnCancel(*call, order);
        });
      });
}

PoolService::Stream* PoolService::Watch(Context* context, const grpc::ByteBuffer* in) {
  return ServeStream<v1::WatchPoolsRequest>(
      rpc_, context, in,
      [this](const engine::Caller& caller,
             const v1::WatchPoolsRequest& request) -> absl::StatusOr<std::shared_ptr<StreamCall>> {
        engine::WatchOptions options;
        options.pools = true;
        options.pool_names.assign(request.names().begin(), request.names().end());
        options.after_sequence = request.after_sequence();
        options.snapshot = request.after_sequence() == 0;
        return std::make_shared<WatchCall>(rpc_, caller, std::move(options));
      });
}

}  // namespace prefork::rpc
