#ifndef PREFORK_SERVER_RPC_POOL_SERVICE_H_
#define PREFORK_SERVER_RPC_POOL_SERVICE_H_

#include "grpcpp/server_context.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"
#include "prefork/v1/pool_service.grpc.pb.h"
#include "server/rpc/rpc_context.h"

namespace prefork::rpc {

// Every method as byte buffers; message_io.h says why.
using RawPoolService = v1::PoolService::WithRawCallbackMethod_Create<
    v1::PoolService::WithRawCallbackMethod_Get<v1::PoolService::WithRawCallbackMethod_List<
        v1::PoolService::WithRawCallbackMethod_Scale<v1::PoolService::WithRawCallbackMethod_Pause<
            v1::PoolService::WithRawCallbackMethod_Resume<
                v1::PoolService::WithRawCallbackMethod_Drain<
                    v1::PoolService::WithRawCallbackMethod_Reload<
                        v1::PoolService::WithRawCallbackMethod_Delete<
                            v1::PoolService::WithRawCallbackMethod_Watch<
                                v1::PoolService::Service>>>>>>>>>>;

// Starts the reactor of each call on pools.
class PoolService final : public RawPoolService {
 public:
  // `rpc` is not owned.
  explicit PoolService(const RpcContext* rpc) : rpc_(*rpc) {}

  using Context = grpc::CallbackServerContext;
  using Unary = grpc::ServerUnaryReactor;
  using Stream = grpc::ServerWriteReactor<grpc::ByteBuffer>;

  Unary* Create(Context* context, const grpc::ByteBuffer* in, grpc::ByteBuffer* out) override;
  Unary* Get(Context* context, const grpc::ByteBuffer* in, grpc::ByteBuffer* out) override;
  Unary* List(Context* context, const grpc::ByteBuffer* in, grpc::ByteBuffer* out) override;
  Unary* Scale(Context* context, const grpc::ByteBuffer* in, grpc::ByteBuffer* out) override;
  Unary* Pause(Context* context, const grpc::ByteBuffer* in, grpc::ByteBuffer* out) override;
  Unary* Resume(Context* context, const grpc::ByteBuffer* in, grpc::ByteBuffer* out) override;
  Unary* Drain(Context* context, const grpc::ByteBuffer* in, grpc::ByteBuffer* out) override;
  Unary* Reload(Context* context, const grpc::ByteBuffer* in, grpc::ByteBuffer* out) override;
  Unary* Delete(Context* context, const grpc::ByteBuffer* in, grpc::ByteBuffer* out) override;
  Stream* Watch(Context* context, const grpc::ByteBuffer* in) override;

 private:
  const RpcContext& rpc_;
};

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_POOL_SERVICE_H_
