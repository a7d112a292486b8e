#ifndef PREFORK_SERVER_RPC_WORKER_SERVICE_H_
#define PREFORK_SERVER_RPC_WORKER_SERVICE_H_

#include "grpcpp/server_context.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"
#include "prefork/v1/pool_service.grpc.pb.h"
#include "server/rpc/rpc_context.h"

namespace prefork::rpc {

// Every method as byte buffers; message_io.h says why.
using RawWorkerService =
    v1::WorkerService::WithRawCallbackMethod_List<v1::WorkerService::WithRawCallbackMethod_Watch<
        v1::WorkerService::WithRawCallbackMethod_Signal<v1::WorkerService::Service>>>;
using RawFunctionService =
    v1::FunctionService::WithRawCallbackMethod_List<v1::FunctionService::Service>;

// Starts the reactor of each call on workers.
class WorkerService final : public RawWorkerService {
 public:
  // `rpc` is not owned.
  explicit WorkerService(const RpcContext* rpc) : rpc_(*rpc) {}

  grpc::ServerUnaryReactor* List(grpc::CallbackServerContext* context, const grpc::ByteBuffer* in,
                                 grpc::ByteBuffer* out) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* Watch(grpc::CallbackServerContext* context,
                                                    const grpc::ByteBuffer* in) override;
  grpc::ServerUnaryReactor* Signal(grpc::CallbackServerContext* context, const grpc::ByteBuffer* in,
                                   grpc::ByteBuffer* out) override;

 private:
  const RpcContext& rpc_;
};

// What the workers can be asked to run.
class FunctionService final : public RawFunctionService {
 public:
  // `rpc` is not owned.
  explicit FunctionService(const RpcContext* rpc) : rpc_(*rpc) {}

  grpc::ServerUnaryReactor* List(grpc::CallbackServerContext* context, const grpc::ByteBuffer* in,
                                 grpc::ByteBuffer* out) override;

 private:
  const RpcContext& rpc_;
};

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_WORKER_SERVICE_H_
