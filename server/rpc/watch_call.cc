#include "server/rpc/watch_call.h"

#include <utility>

#include "prefork/v1/event.pb.h"
#include "server/rpc/event_to_proto.h"
#include "server/rpc/message_io.h"
#include "server/rpc/task_to_proto.h"

namespace prefork::rpc {

WatchCall::WatchCall(const RpcContext& rpc, const engine::Caller& caller,
                     engine::WatchOptions options)
    : StreamCall(rpc, caller), options_(std::move(options)) {
  options_.caller = caller;
}

void WatchCall::OnStart() {
  const absl::StatusOr<engine::SessionId> watch = engine().OpenWatch(options_, this);
  if (!watch.ok()) {
    End(watch.status());
    return;
  }
  watch_ = *watch;
}

void WatchCall::OnWritten() { engine().SinkWritable(watch_); }

void WatchCall::OnEnd() {
  if (watch_ != 0) engine().CloseSession(watch_);
}

// Verdicts on submits are for sessions.
void WatchCall::AddAccepted(uint64_t, engine::TaskId, uint64_t) {}
void WatchCall::AddRejected(uint64_t, const absl::Status&) {}
void WatchCall::PauseReading(bool) {}

void WatchCall::Add(const google::protobuf::Message& event) {
  pending_.push_back(SerializeMessage(event));
  pending_bytes_ += pending_.back().Length();
}

void WatchCall::AddEvent(uint64_t, const engine::EventRecord& event) {
  v1::Event message;
  ToProto(event, &message);
  Add(message);
}

void WatchCall::AddFinished(uint64_t, const engine::EventRecord& event, const engine::Bytes& value,
                            std::string_view content_type, std::string_view error,
                            const engine::ExitReport* report,
                            const std::vector<engine::ExitReport>* earlier) {
  v1::Event message;
  ToProto(event, &message);
  ResultToProto(event.state, value, content_type, error, report, earlier,
                message.mutable_task()->mutable_finished());
  Add(message);
}

void WatchCall::Flush() {
  pending_bytes_ = 0;
  if (ended() || pending_.empty()) return;
  Write(std::exchange(pending_, {}));
}

void WatchCall::Close(const absl::Status& why) { EndSoon(why); }

}  // namespace prefork::rpc
