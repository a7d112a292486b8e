// One session.
//
//   gRPC threads                                   engine thread
//   OnReadDone: parse, check, convert -- Post ---> OpenSession, SubmitBatch, CancelTags, credit
//     StartRead again, if the gate is open  <----- gate: the engine has caught up, or resumes reading
//                                                  AddAccepted/AddEvent/AddFinished -> batch_
//   OnWriteDone <--------------------------------- Flush -> StartWrite(outbound_)
//     `-- only if somebody waits for it -- Post -> WriteDone -> SinkWritable, or the next write
//   OnCancel ----------------------------- Post -> End
//   OnDone: drops self_
//
// Who owns what: read reactions come one at a time and own inbound_, arena_ and the reader; the engine's
// thread owns the rest, and hands outbound_ to gRPC for the length of a write. No lock but the gate's.
//
// Backpressure down: the gate lets a few messages be under way to the engine, no more, and none while the
// engine has asked for a pause; a client's writes then wait in HTTP/2's window. Up: one write in flight;
// until it is taken, the engine does not get its sink back. The engine asks when it has something to
// write (TakesMore), and only an answer of no makes the write's end wake it. While the client's credit
// is used up, the sink wants no events: verdicts go on.
//
// The end: whatever comes first of half-close with all tasks finished, a broken rule, the engine's Close,
// cancel and disconnect sets end_, closes the engine's session at once, and calls Finish when no write is
// in flight. Closures that arrive later find end_ set; they hold a reference, so they may even arrive after
// OnDone.
#include "server/rpc/session_call.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/rpc/field_violations.h"
#include "server/rpc/message_io.h"
#include "server/rpc/peer_registry.h"
#include "server/rpc/status_mapping.h"
#include "server/rpc/value_sender.h"

namespace prefork::rpc {
namespace {

// Messages under way from the reader to the engine: enough to keep both busy.
constexpr size_t kMaxMessagesAhead = 4;
constexpr size_t kMaxBytesAhead = 8 << 20;
constexpr size_t kMaxClientNameBytes = 255;
constexpr int kMaxResumed = 1'000'000;
// As task_service.proto says.
constexpr int kMaxBatchItems = 10'000;
constexpr int kMaxCancelled = 100'000;
// Above it a payload had better be uploaded: it would hold up the session's other messages.
constexpr uint64_t kMaxInlinePayloadBytes = 1 << 20;

}  // namespace

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* SessionCall::Begin(
    const RpcContext& rpc, grpc::CallbackServerContext* context) {
  const absl::StatusOr<engine::Caller> caller = rpc.peers->Find(context->peer());
  auto call = std::make_shared<SessionCall>(rpc, caller.value_or(engine::Caller()));
  call->self_ = call;
  if (caller.ok()) {
    call->StartRead(&call->inbound_);
  } else {
    call->EndSoon(caller.status());
  }
  return call.get();
}

SessionCall::SessionCall(const RpcContext& rpc, const engine::Caller& caller)
    : rpc_(rpc),
      caller_(caller),
      engine_(*rpc.engine),
      gate_(kMaxMessagesAhead, kMaxBytesAhead),
      submit_reader_(rpc.engine, rpc.leases, caller.uid),
      open_(rpc.calls) {}

// --- gRPC's threads ---

void SessionCall::OnReadDone(bool ok) {
  if (!ok) {
    engine_.Post([call = shared_from_this()] { call->HalfClosed(); });
    return;
  }
  const size_t bytes = inbound_.Length();
  auto* request = google::protobuf::Arena::CreateMessage<v1::SessionRequest>(&arena_);
  absl::Status taken = ParseMessage(inbound_, request);
  inbound_.Clear();
  gate_.AddMessage(bytes);
  if (taken.ok()) taken = TakeMessage(request, bytes);
  arena_.Reset();
  if (!taken.ok()) {
    EndSoon(taken);
    return;
  }
  if (gate_.MayRead()) StartRead(&inbound_);
}

template <typename Work>
void SessionCall::PostMessage(size_t bytes, Work work) {
  engine_.Post([call = shared_from_this(), bytes, work = std::move(work)]() mutable {
    if (call->end_.has_value()) return;
    work(*call);
    if (!call->end_.has_value() && call->gate_.RemoveMessage(bytes)) {
      call->StartRead(&call->inbound_);
    }
  });
}

absl::Status SessionCall::TakeMessage(v1::SessionRequest* request, size_t bytes) {
  using Request = v1::SessionRequest;
  if (request->request_case() == Request::kOpen) {
    if (opened_) return Violation("open", "comes once, as the first message of the session");
    opened_ = true;
    return TakeOpen(request->open(), bytes);
  }
  if (!opened_) return Violation("open", "is missing: it is the first message of a session");
  switch (request->request_case()) {
    case Request::kSubmit:
      return TakeSubmit(request->mutable_submit(), bytes);
    case Request::kCancel:
      return TakeCancel(request->cancel(), bytes);
    case Request::kCredit:
      PostMessage(bytes, [events = request->credit().events()](SessionCall& call) {
        call.AddCredit(events);
      });
      return absl::OkStatus();
    default:
      return Violation("request",
                       "holds nothing that this daemon knows: open, submit, cancel "
                       "or credit");
  }
}

absl::Status SessionCall::TakeOpen(const v1::OpenSession& open, size_t bytes) {
  if (open.client_name().size() > kMaxClientNameBytes) {
    return Violation(
        "open.client_name",
        absl::StrCat(open.client_name().size(), " bytes are more than ", kMaxClientNameBytes));
  }
  if (open.resume_task_ids_size() > kMaxResumed) {
    return Violation("open.resume_task_ids", absl::StrCat(open.resume_task_ids_size(),
                                                          " tasks are more than ", kMaxResumed));
  }
  engine::SessionOptions options;
  options.caller = caller_;
  options.client_name = open.client_name();
  options.states = open.states();
  options.output = open.output();
  options.progress = open.progress();
  options.exit_reports = open.exit_reports();
  options.resume.assign(open.resume_task_ids().begin(), open.resume_task_ids().end());
  PostMessage(bytes, [options = std::move(options), credit = open.initial_credit(),
                      token = open.segment_token(),
                      over_bytes = open.segment_values_over_bytes()](SessionCall& call) {
    call.segment_token_ = token;
    call.segment_values_over_bytes_ = over_bytes;
    call.Open(options, credit);
  });
  return absl::OkStatus();
}

absl::Status SessionCall::TakeSubmit(v1::SubmitBatch* batch, size_t bytes) {
  if (batch->items_size() > kMaxBatchItems) {
    return Violation("submit.items", absl::StrCat(batch->items_size(), " items are more than ",
                                                  kMaxBatchItems, "; send several batches"));
  }
  PostMessage(bytes, [verdict = submit_reader_.Read(batch)](SessionCall& call) mutable {
    call.unfinished_ += verdict.tasks.size() + verdict.rejected.size();
    if (!verdict.rejected.empty()) call.engine_.RejectBatch(call.session_, verdict.rejected);
    if (!verdict.tasks.empty()) {
      call.engine_.SubmitBatch(call.session_, std::move(verdict.tasks));
    }
  });
  return absl::OkStatus();
}

absl::Status SessionCall::TakeCancel(const v1::CancelBatch& cancel, size_t bytes) {
  if (const int count = cancel.tags_size() + cancel.task_ids_size(); count > kMaxCancelled) {
    return Violation("cancel", absl::StrCat(count, " tags and IDs are more than ", kMaxCancelled,
                                            "; send several batches"));
  }
  PostMessage(
      bytes, [tags = std::vector<uint64_t>(cancel.tags().begin(), cancel.tags().end()),
              ids = std::vector<engine::TaskId>(cancel.task_ids().begin(), cancel.task_ids().end()),
              force = cancel.force()](SessionCall& call) {
        if (!tags.empty()) call.engine_.CancelTags(call.session_, tags, force);
        // A task that is unknown or over has nothing to cancel: its events have told the client.
        for (const engine::TaskId id : ids)
          call.engine_.Cancel(call.caller_, id, force).IgnoreError();
      });
  return absl::OkStatus();
}

void SessionCall::OnWriteDone(bool ok) {
  outbound_.Clear();
  const bool awaited = write_.exchange(Write::kNone, std::memory_order_acq_rel) == Write::kAwaited;
  if (ok && !awaited) return;
  engine_.Post([call = shared_from_this(), ok] { call->WriteDone(ok); });
}

void SessionCall::EndSoon(const absl::Status& status) {
  engine_.Post([call = shared_from_this(), status] { call->End(status); });
}

void SessionCall::OnCancel() {
  EndSoon(absl::CancelledError("the client cancelled the session or is gone"));
}

void SessionCall::OnDone() { self_.reset(); }

// --- engine thread ---

void SessionCall::Open(const engine::SessionOptions& options, uint64_t initial_credit) {
  if (initial_credit != 0) credit_ = initial_credit;
  unfinished_ = options.resume.size();
  session_ = engine_.OpenSession(options, this);

  v1::SessionResponse response;
  response.mutable_opened()->set_session_id(session_);
  response.mutable_opened()->set_daemon_version(rpc_.version);
  response.mutable_opened()->set_max_inline_payload_bytes(kMaxInlinePayloadBytes);
  StartWriting(SerializeMessage(response));
}

void SessionCall::AddAccepted(uint64_t first_tag, engine::TaskId first_id, uint64_t count) {
  batch_.AddAccepted(first_tag, first_id, count);
}

void SessionCall::AddRejected(uint64_t tag, const absl::Status& why) {
  --unfinished_;
  batch_.AddRejected(tag, why);
}

void SessionCall::AddEvent(uint64_t tag, const engine::EventRecord& event) {
  SpendCredit();
  batch_.AddEvent(tag, event);
}

void SessionCall::AddFinished(uint64_t tag, const engine::EventRecord& event,
                              const engine::Bytes& value, std::string_view content_type,
                              std::string_view error, const engine::ExitReport* report,
                              const std::vector<engine::ExitReport>* earlier) {
  SpendCredit();
  --unfinished_;
  batch_.AddFinished(tag, event, value, content_type, error, report, earlier, SendValue(value));
}

uint64_t SessionCall::SendValue(const engine::Bytes& value) {
  if (rpc_.values == nullptr || segment_token_.empty()) return 0;
  if (value.size() <= segment_values_over_bytes_) return 0;
  return rpc_.values->Send(segment_token_, caller_.uid, value);
}

void SessionCall::SpendCredit() {
  if (credit_.has_value() && *credit_ > 0) --*credit_;
}

void SessionCall::AddCredit(uint64_t events) {
  if (!credit_.has_value()) return;
  const uint64_t room = std::numeric_limits<uint64_t>::max() - *credit_;
  const bool was_out = *credit_ == 0;
  *credit_ += std::min(events, room);
  // The end of a write tells the same.
  if (was_out && !Writing()) engine_.SinkWritable(session_);
}

bool SessionCall::Writing() {
  Write state = write_.load(std::memory_order_acquire);
  if (state == Write::kUnderWay) {
    write_.compare_exchange_strong(state, Write::kAwaited, std::memory_order_acq_rel);
  }
  return state != Write::kNone;
}

void SessionCall::StartWriting(const grpc::ByteBuffer& message) {
  outbound_ = message;  // shares its bytes
  write_.store(Write::kUnderWay, std::memory_order_release);
  StartWrite(&outbound_);
  if (half_closed_) Writing();  // its end may be the session's
}

void SessionCall::Flush() {
  flush_wanted_ = true;
  if (!end_.has_value() && !Writing()) WriteBatch();
}

bool SessionCall::TakesMore() { return !Writing(); }

void SessionCall::WriteBatch() {
  flush_wanted_ = false;
  StartWriting(batch_.Take());
}

// A write may have been begun since the one that this is about: then another WriteDone follows.
void SessionCall::WriteDone(bool ok) {
  if (Writing()) return;
  if (end_.has_value()) {
    FinishOnce();
  } else if (!ok) {
    End(absl::CancelledError("the client is gone"));
  } else if (flush_wanted_) {
    WriteBatch();
  } else {
    engine_.SinkWritable(session_);
    EndIfAllDone();
  }
}

void SessionCall::HalfClosed() {
  half_closed_ = true;
  if (end_.has_value()) return;
  if (session_ == 0) {
    End(Violation("open", "is missing: it is the first message of a session"));
    return;
  }
  EndIfAllDone();
}

void SessionCall::EndIfAllDone() {
  if (half_closed_ && batch_.empty() && unfinished_ == 0 && !Writing()) {
    End(absl::OkStatus());
  }
}

void SessionCall::Close(const absl::Status& why) { EndSoon(why); }

void SessionCall::PauseReading(bool pause) {
  if (gate_.SetPaused(pause) && !end_.has_value()) StartRead(&inbound_);
}

void SessionCall::End(const absl::Status& status) {
  if (end_.has_value()) return;
  end_ = status;
  if (session_ != 0) engine_.CloseSession(session_);
  if (!Writing()) FinishOnce();
}

void SessionCall::FinishOnce() {
  if (!std::exchange(finished_, true)) Finish(ToGrpcStatus(*end_));
}

}  // namespace prefork::rpc
