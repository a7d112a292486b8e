#ifndef PREFORK_SERVER_RPC_READ_VALUE_CALL_H_
#define PREFORK_SERVER_RPC_READ_VALUE_CALL_H_

#include <cstdint>

#include "server/engine/engine.h"
#include "server/rpc/stream_call.h"

namespace prefork::rpc {

// Streams the value of a finished task. What lies in a segment goes to the socket from there, without
// a copy here; the segment stays leased until gRPC has let go of the last slice.
class ReadValueCall final : public StreamCall {
 public:
  ReadValueCall(const RpcContext& rpc, const engine::Caller& caller, engine::TaskId task,
                uint64_t offset);
  ~ReadValueCall() override = default;

 private:
  void OnStart() override;
  void OnWritten() override;
  void WriteChunks();

  const engine::TaskId task_;
  uint64_t offset_;
  engine::Bytes value_;
};

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_READ_VALUE_CALL_H_
