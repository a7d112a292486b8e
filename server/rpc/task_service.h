#ifndef PREFORK_SERVER_RPC_TASK_SERVICE_H_
#define PREFORK_SERVER_RPC_TASK_SERVICE_H_

#include "grpcpp/server_context.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"
#include "prefork/v1/task_service.grpc.pb.h"
#include "server/rpc/rpc_context.h"

namespace prefork::rpc {

// Every method as byte buffers; message_io.h says why.
using RawTaskService =
    v1::TaskService::WithRawCallbackMethod_Submit<v1::TaskService::WithRawCallbackMethod_UploadTask<
        v1::TaskService::WithRawCallbackMethod_Session<v1::TaskService::WithRawCallbackMethod_Get<
            v1::TaskService::WithRawCallbackMethod_List<v1::TaskService::WithRawCallbackMethod_Wait<
                v1::TaskService::WithRawCallbackMethod_Watch<
                    v1::TaskService::WithRawCallbackMethod_Cancel<
                        v1::TaskService::WithRawCallbackMethod_Signal<
                            v1::TaskService::WithRawCallbackMethod_Retry<
                                v1::TaskService::WithRawCallbackMethod_Delete<
                                    v1::TaskService::WithRawCallbackMethod_ReadOutput<
                                        v1::TaskService::WithRawCallbackMethod_ReadValue<
                                            v1::TaskService::Service>>>>>>>>>>>>>;

// Starts the reactor of each call on tasks.
class TaskService final : public RawTaskService {
 public:
  // `rpc` is not owned.
  explicit TaskService(const RpcContext* rpc) : rpc_(*rpc) {}

  using Context = grpc::CallbackServerContext;
  using Unary = grpc::ServerUnaryReactor;
  using Stream = grpc::ServerWriteReactor<grpc::ByteBuffer>;

  Unary* Submit(Context* context, const grpc::ByteBuffer* in, grpc::ByteBuffer* out) override;
  grpc::ServerReadReactor<grpc::ByteBuffer>* UploadTask(Context* context,
                                                        grpc::ByteBuffer* out) override;
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Session(Context* context) override;
  Unary* Get(Context* context, const grpc::ByteBuffer* in, grpc::ByteBuffer* out) override;
  Unary* List(Context* context, const grpc::ByteBuffer* in, grpc::ByteBuffer* out) override;
  Unary* Wait(Context* context, const grpc::ByteBuffer* in, grpc::ByteBuffer* out) override;
  Stream* Watch(Context* context, const grpc::ByteBuffer* in) override;
  Unary* Cancel(Context* context, const grpc::ByteBuffer* in, grpc::ByteBuffer* out) override;
  Unary* Signal(Context* context, const grpc::ByteBuffer* in, grpc::ByteBuffer* out) override;
  Unary* Retry(Context* context, const grpc::ByteBuffer* in, grpc::ByteBuffer* out) override;
  Unary* Delete(Context* context, const grpc::ByteBuffer* in, grpc::ByteBuffer* out) override;
  Stream* ReadOutput(Context* context, const grpc::ByteBuffer* in) override;
  Stream* ReadValue(Context* context, const grpc::ByteBuffer* in) override;

 private:
  const RpcContext& rpc_;
};

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_TASK_SERVICE_H_
