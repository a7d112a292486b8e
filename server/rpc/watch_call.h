#ifndef PREFORK_SERVER_RPC_WATCH_CALL_H_
#define PREFORK_SERVER_RPC_WATCH_CALL_H_

#include <string_view>
#include <vector>

#include "server/engine/engine.h"
#include "server/rpc/stream_call.h"

namespace prefork::rpc {

// A watch on the event log: tasks, workers, pools or all of them, one Event a message. Ends only with
// its client, the daemon, or when the client falls too far behind.
class WatchCall final : public StreamCall, private engine::EventSink {
 public:
  WatchCall(const RpcContext& rpc, const engine::Caller& caller, engine::WatchOptions options);
  ~WatchCall() override = default;

 private:
  void OnStart() override;
  void OnWritten() override;
  void OnEnd() override;

  void AddAccepted(uint64_t first_tag, engine::TaskId first_id, uint64_t count) override;
  void AddRejected(uint64_t tag, const absl::Status& why) override;
  void AddEvent(uint64_t tag, const engine::EventRecord& event) override;
  void AddFinished(uint64_t tag, const engine::EventRecord& event, const engine::Bytes& value,
                   std::string_view content_type, std::string_view error,
                   const engine::ExitReport* report,
                   const std::vector<engine::ExitReport>* earlier) override;
  size_t pending_bytes() const override { return pending_bytes_; }
  void Flush() override;
  void Close(const absl::Status& why) override;
  void PauseReading(bool pause) override;

  void Add(const google::protobuf::Message& event);

  engine::WatchOptions options_;
  engine::SessionId watch_ = 0;
  std::vector<grpc::ByteBuffer> pending_;
  size_t pending_bytes_ = 0;
};

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_WATCH_CALL_H_
