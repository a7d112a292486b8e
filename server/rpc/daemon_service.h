#ifndef PREFORK_SERVER_RPC_DAEMON_SERVICE_H_
#define PREFORK_SERVER_RPC_DAEMON_SERVICE_H_

#include "grpcpp/server_context.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"
#include "prefork/v1/pool_service.grpc.pb.h"
#include "server/rpc/rpc_context.h"

namespace prefork::rpc {

// Every method as byte buffers; message_io.h says why.
using RawDaemonService = v1::DaemonService::WithRawCallbackMethod_GetStatus<
    v1::DaemonService::WithRawCallbackMethod_Watch<
        v1::DaemonService::WithRawCallbackMethod_Shutdown<v1::DaemonService::Service>>>;

// Starts the reactor of each call on the daemon as a whole.
class DaemonService final : public RawDaemonService {
 public:
  // `rpc` is not owned.
  explicit DaemonService(const RpcContext* rpc) : rpc_(*rpc) {}

  grpc::ServerUnaryReactor* GetStatus(grpc::CallbackServerContext* context,
                                      const grpc::ByteBuffer* in, grpc::ByteBuffer* out) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* Watch(grpc::CallbackServerContext* context,
                                                    const grpc::ByteBuffer* in) override;
  grpc::ServerUnaryReactor* Shutdown(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* in, grpc::ByteBuffer* out) override;

 private:
  const RpcContext& rpc_;
};

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_DAEMON_SERVICE_H_
