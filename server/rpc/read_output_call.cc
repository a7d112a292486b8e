#include "server/rpc/read_output_call.h"

#include <algorithm>
#include <string>
#include <utility>

#include "prefork/v1/task.pb.h"
#include "server/rpc/enum_mapping.h"
#include "server/rpc/message_io.h"

namespace prefork::rpc {
namespace {

void AppendChunks(const engine::Engine::OutputChunk& chunk, std::vector<grpc::ByteBuffer>* out) {
  for (size_t begin = 0; begin < chunk.data.size(); begin += kChunkBytes) {
    v1::Output message;
    message.set_stream(ToProto(chunk.stream));
    message.set_offset(chunk.offset + begin);
    message.set_data(chunk.data.substr(begin, kChunkBytes));
    out->push_back(SerializeMessage(message));
  }
}

}  // namespace

ReadOutputCall::ReadOutputCall(const RpcContext& rpc, const engine::Caller& caller,
                               const ReadOutputOptions& options)
    : StreamCall(rpc, caller),
      options_(options),
      positions_{{engine::OutputStream::kStdout, options.want_stdout, options.offset},
                 {engine::OutputStream::kStderr, options.want_stderr, options.offset}} {}

void ReadOutputCall::OnStart() {
  const absl::StatusOr<engine::TaskInfo> info = engine().Get(caller(), options_.task);
  if (!info.ok()) return End(info.status());
  terminal_ = scheduler::IsTerminal(info->state);
  if (options_.follow && !terminal_) {
    const absl::Status opened = OpenWatch();
    if (!opened.ok()) return End(opened);
  }
  Pump();
}

absl::Status ReadOutputCall::OpenWatch() {
  engine::WatchOptions watch;
  watch.caller = caller();
  watch.tasks = true;
  watch.task_filter.ids = {options_.task};
  watch.output = true;
  absl::StatusOr<engine::SessionId> opened = engine().OpenWatch(watch, this);
  if (opened.ok()) watch_ = *opened;
  return opened.status();
}

void ReadOutputCall::Pump() {
  if (writing() || ended()) return;
  std::vector<grpc::ByteBuffer> messages;
  for (Position& position : positions_) {
    if (!position.wanted) continue;
    const auto chunks =
        engine().ReadOutput(caller(), options_.task, position.stream, position.next);
    if (!chunks.ok()) return End(chunks.status());
    for (const engine::Engine::OutputChunk& chunk : *chunks) {
      AppendChunks(chunk, &messages);
      position.next = std::max(position.next, chunk.offset + chunk.data.size());
    }
  }
  if (!messages.empty()) {
    Write(std::move(messages));
  } else if (terminal_ || !options_.follow) {
    End(absl::OkStatus());
  }
}

void ReadOutputCall::OnWritten() { Pump(); }

void ReadOutputCall::OnEnd() {
  if (watch_ != 0) engine().CloseSession(watch_);
}

void ReadOutputCall::AddAccepted(uint64_t, engine::TaskId, uint64_t) {}
void ReadOutputCall::AddRejected(uint64_t, const absl::Status&) {}
void ReadOutputCall::PauseReading(bool) {}
void ReadOutputCall::AddEvent(uint64_t, const engine::EventRecord&) { news_ = true; }

void ReadOutputCall::AddFinished(uint64_t, const engine::EventRecord&, const engine::Bytes&,
                                 std::string_view, std::string_view, const engine::ExitReport*,
                                 const std::vector<engine::ExitReport>*) {
  terminal_ = true;
  news_ = true;
}

// The engine may be walking over its sinks: the answer comes in a later turn.
void ReadOutputCall::Flush() {
  news_ = false;
  engine().Post([call = std::static_pointer_cast<ReadOutputCall>(shared_from_this())] {
    if (call->ended()) return;
    call->Pump();
    if (!call->ended()) call->engine().SinkWritable(call->watch_);
  });
}

void ReadOutputCall::Close(const absl::Status& why) { EndSoon(why); }

}  // namespace prefork::rpc
