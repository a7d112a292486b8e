// The life of a streaming call. All state is the engine thread's; the messages being written belong to
// gRPC's reactions from Write to WritesDone and need no lock for that.
//
//   gRPC thread    Begin -+                  +-> OnWriteDone... -+              OnDone: drops self_
//   engine thread         +-> OnStart, Write-+                   +-> WritesDone -> OnWritten
//
// End, from whatever cause, gives back at once what the engine holds (OnEnd) and calls Finish when no
// write is in flight. A client that does not read holds up the write, not the engine; when it goes, or
// the server's shutdown deadline cancels the call, the write fails and Finish follows. A closure posted
// by OnCancel may run after OnDone: it holds a reference and finds end_ set.
#include "server/rpc/stream_call.h"

#include <utility>

#include "common/os/check.h"
#include "server/rpc/status_mapping.h"

namespace prefork::rpc {
namespace {

class RefusedCall final : public StreamCall {
 public:
  RefusedCall(const RpcContext& rpc, absl::Status why)
      : StreamCall(rpc, engine::Caller()), why_(std::move(why)) {}
  ~RefusedCall() override = default;

 private:
  void OnStart() override { End(why_); }
  void OnWritten() override {}

  const absl::Status why_;
};

}  // namespace

grpc::ServerWriteReactor<grpc::ByteBuffer>* StreamCall::Begin() {
  self_ = shared_from_this();
  engine().Post([call = self_] {
    if (!call->ended()) call->OnStart();
  });
  return this;
}

void StreamCall::Write(std::vector<grpc::ByteBuffer> messages) {
  PREFORK_CHECK(!writing_ && !ended() && !messages.empty());
  writing_ = true;
  messages_ = std::move(messages);
  next_ = 0;
  WriteNext();
}

void StreamCall::WriteNext() {
  // Never with a buffer hint: the first write carries the initial metadata, and gRPC would hold both
  // back until the next write, which waits for the completion of this one.
  StartWrite(&messages_[next_++]);
}

void StreamCall::OnWriteDone(bool ok) {
  if (ok && next_ < messages_.size()) {
    WriteNext();
    return;
  }
  engine().Post([call = shared_from_this(), ok] { call->WritesDone(ok); });
}

void StreamCall::WritesDone(bool ok) {
  writing_ = false;
  messages_.clear();
  if (ended()) {
    Finish(ToGrpcStatus(*end_));
  } else if (!ok) {
    End(absl::CancelledError("the client is gone"));
  } else {
    OnWritten();
  }
}

void StreamCall::End(const absl::Status& status) {
  if (ended()) return;
  end_ = status;
  OnEnd();
  if (!writing_) Finish(ToGrpcStatus(status));
}

void StreamCall::EndSoon(const absl::Status& status) {
  engine().Post([call = shared_from_this(), status] { call->End(status); });
}

void StreamCall::OnCancel() {
  EndSoon(absl::CancelledError("the client cancelled the call or its deadline has passed"));
}

void StreamCall::OnDone() { self_.reset(); }

grpc::ServerWriteReactor<grpc::ByteBuffer>* RefuseStream(const RpcContext& rpc,
                                                         const absl::Status& status) {
  return std::make_shared<RefusedCall>(rpc, status)->Begin();
}

}  // namespace prefork::rpc
