// The life of the session's stream, and what a break means for the tasks.
//
//   kConnecting -- opened --> kOpen -- broken --> kConnecting ... -- too long --> kFailed
//                                     (backoff with jitter)          next Submit: kConnecting
//
// A stream is destroyed only when none of its operations is outstanding: after the first failed
// read or write the others are awaited, then Finish tells why. Then each unfinished task is one of
//
//   pending                 never sent: it goes out on the next stream
//   sent, detached          submitted again; its request ID makes a second submit the same task
//   sent, not detached      UNAVAILABLE: it may have run, and the daemon cancels it if it has it
//   accepted, detached      taken up again by its ID (OpenSession.resume_task_ids)
//   accepted, not detached  UNAVAILABLE: bound to the stream that is gone
//
// A payload in a segment that went with the old connection, or may have gone over to the daemon, can't
// be sent again: such a task fails with UNAVAILABLE instead.
//
// Tags are per stream: the tasks taken up have the tags 0, 1, ... in the order of their IDs, all
// others are numbered on from there. The gRPC channel dials by itself; the pauses here only space
// the attempts to open a stream.
#include <grpcpp/support/slice.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cpp/grpc_status.h"
#include "client/cpp/session.h"
#include "common/os/check.h"

namespace prefork::client::internal {
namespace {

constexpr char kMethod[] = "/prefork.v1.TaskService/Session";
constexpr absl::Duration kFirstBackoff = absl::Milliseconds(10);
constexpr absl::Duration kLongestBackoff = absl::Seconds(2);
constexpr int kBackoffDoublings = 8;

// Would the same happen again?
bool IsPermanent(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kUnimplemented:
      return true;
    default:
      return false;
  }
}

// A daemon that is just starting may have the one socket and not yet the other, but it serves when it
// has both.
void WaitForServer(grpc::Channel& channel, absl::Time deadline) {
  while (true) {
    const grpc_connectivity_state state = channel.GetState(/*try_to_connect=*/true);
    if (state != GRPC_CHANNEL_IDLE && state != GRPC_CHANNEL_CONNECTING) return;
    if (!channel.WaitForStateChange(state, absl::ToChronoTime(deadline))) return;
  }
}

}  // namespace

Session::Session(std::shared_ptr<grpc::Channel> channel, ConnectOptions options)
    : options_(std::move(options)),
      channel_(std::move(channel)),
      stub_(channel_),
      random_(std::random_device{}()) {
  std::random_device random;
  request_id_prefix_ =
      absl::StrCat(absl::Hex(random(), absl::kZeroPad8), absl::Hex(random(), absl::kZeroPad8),
                   absl::Hex(random(), absl::kZeroPad8), "-");
}

Session::~Session() { PREFORK_CHECK(operations_ == 0); }

absl::Status Session::Open(absl::Time deadline) {
  WaitForServer(*channel_, deadline);
  ConnectSegments(deadline);
  absl::MutexLock lock(&mu());
  give_up_at_ = deadline;
  StartStreamLocked();
  const auto settled = [this]()
                           ABSL_NO_THREAD_SAFETY_ANALYSIS { return state_ != State::kConnecting; };
  if (!driver_.WaitUntil(settled, deadline)) {
    return absl::DeadlineExceededError(absl::StrCat(
        "the prefork daemon at ", options_.address, " accepted the connection but did ",
        "not answer in time; is it overloaded or stopped?"));
  }
  return state_ == State::kFailed ? failure_ : absl::OkStatus();
}

void Session::StartStreamLocked() {
  broken_ = false;
  finishing_ = false;
  context_ = std::make_unique<grpc::ClientContext>();
  stream_ = stub_.PrepareCall(context_.get(), kMethod, &driver_.queue());
  ++operations_;
  stream_->StartCall(&started_);
}

void Session::OnStarted(bool ok) {
  absl::MutexLock lock(&mu());
  --operations_;
  if (!ok) BreakLocked();
  if (broken_) return StreamEndedLocked();
  WriteOpenLocked();
  ++operations_;
  stream_->Read(&read_buffer_, &read_);
}

void Session::WriteOpenLocked() {
  v1::SessionRequest request;
  v1::OpenSession* open = request.mutable_open();
  open->set_client_name(options_.client_name);
  open->set_states(options_.events.states);
  open->set_output(options_.events.output);
  open->set_progress(options_.events.progress);
  open->set_exit_reports(options_.events.exit_reports);
  open->mutable_resume_task_ids()->Add(resume_ids_.begin(), resume_ids_.end());
  if (segments_ != nullptr) {
    open->set_segment_token(std::string(segments_->token()));
    open->set_segment_values_over_bytes(kSegmentThresholdBytes);
  }
  const grpc::Slice slice(request.SerializeAsString());
  WriteLocked(grpc::ByteBuffer(&slice, 1));
}

void Session::BreakLocked() {
  broken_ = true;
  if (state_ == State::kOpen) state_ = State::kConnecting;
}

void Session::StreamEndedLocked() {
  if (operations_ > 0 || finishing_) return;
  finishing_ = true;
  ++operations_;
  stream_->Finish(&stream_status_, &finished_);
}

void Session::OnFinished(bool /*ok*/) {
  absl::MutexLock lock(&mu());
  --operations_;
  stream_.reset();
  context_.reset();
  driver_.Notify();
  if (state_ == State::kClosed) return;
  absl::Status why = FromGrpc(stream_status_, options_.address);
  if (why.ok()) {
    why = absl::UnavailableError(
        absl::StrCat("the prefork daemon at ", options_.address, " ended the session"));
  }
  SortOutTasksLocked(why);
  if (give_up_at_ == absl::InfiniteFuture()) {
    give_up_at_ = absl::Now() + options_.reconnect_timeout;
  }
  const bool idle = opened_once_ && in_flight_ == 0;
  if (IsPermanent(why) || idle || absl::Now() >= give_up_at_) return FailLocked(why);
  DeliverLocked();
  const double spread = std::uniform_real_distribution<double>(0.5, 1.5)(random_);
  const absl::Duration pause =
      std::min(kFirstBackoff * (int64_t{1} << std::min(failed_attempts_, kBackoffDoublings)),
               kLongestBackoff) *
      spread;
  ++failed_attempts_;
  backing_off_ = true;
  backoff_alarm_.Set(&driver_.queue(),
                     absl::ToChronoTime(std::min(absl::Now() + pause, give_up_at_)),
                     &backoff_over_);
}

void Session::OnBackoffOver(bool /*ok*/) {
  ConnectSegments(absl::InfiniteFuture());
  absl::MutexLock lock(&mu());
  backing_off_ = false;
  driver_.Notify();
  if (state_ == State::kConnecting) StartStreamLocked();
}

void Session::SortOutTasksLocked(const absl::Status& why) {
  auto before = std::exchange(by_tag_, {});
  auto sent = std::exchange(sent_, {});
  auto pending = std::exchange(pending_, {});
  auto payloads = std::exchange(payloads_, {});
  for (auto* cancels : {&cancel_ids_, &cancel_tags_, &kill_ids_, &kill_tags_, &cancel_when_sent_}) {
    cancels->clear();
  }
  resume_ids_.clear();
  next_tag_ = 0;
  unanswered_ = 0;
  const uint64_t unsent_tag = std::exchange(unsent_tag_, 0);

  std::vector<RecordPtr> accepted;
  before.ForEach([&](const RecordPtr& record) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    if (record->tag >= unsent_tag) return;
    const uint64_t id = record->id;
    if (record->detached) {
      if (id != 0) accepted.push_back(record);
      return;
    }
    SettleLocked(*record, absl::UnavailableError(absl::StrCat(
                              id == 0 ? "the connection broke before the daemon answered; whether "
                                        "the task ran is unknown"
                                      : absl::StrCat("the connection broke while task ", id,
                                                     " was unfinished; how far it came is unknown, "
                                                     "and the daemon cancels it"),
                              " (detached tasks survive this): ", why.message())));
  });
  std::sort(accepted.begin(), accepted.end(),
            [](const RecordPtr& a, const RecordPtr& b) { return a->id < b->id; });
  for (const RecordPtr& record : accepted) {
    resume_ids_.push_back(record->id);
    record->tag = next_tag_++;
    by_tag_.Add(record->tag, record);
    if (record->cancel_asked) SendCancelLocked(*record);
  }
  unsent_tag_ = next_tag_;
  const auto again = [&](const Batch& batch, bool was_sent) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    for (const BatchItem& item : batch.Decode()) {
      const RecordPtr record = before.Remove(item.tag);
      if (record == nullptr || record->id != 0 || record->done) continue;
      PlacedPayload payload{.bytes = item.payload};
      if (item.in_segment) payload = payloads.Take(item.tag);
      if (item.in_segment && !payload.StillOurs(segments_.get(), was_sent)) {
        SettleLocked(*record, absl::UnavailableError(absl::StrCat(
                                  "the connection broke, and the segment with the task's "
                                  "payload went with it: ",
                                  why.message())));
        continue;
      }
      AppendLocked(batch.spec(), record, std::move(payload), item.request_id);
      if (record->cancel_asked) SendCancelLocked(*record);
    }
  };
  for (const SentBatch& batch : sent) again(batch.batch, true);
  for (const Batch& batch : pending) again(batch, false);
}

void Session::SettleAllLocked(const absl::Status& why) {
  std::vector<RecordPtr> records(by_transfer_.begin(), by_transfer_.end());
  by_tag_.ForEach([&records](const RecordPtr& record) { records.push_back(record); });
  for (const RecordPtr& record : records) {
    const uint64_t id = record->id;
    std::string message(why.message());
    if (id != 0) {
      message = absl::StrCat("task ", id, " is unfinished and ",
                             record->detached ? "goes on without us: " : "lost: ", message);
    }
    SettleLocked(*record, absl::Status(why.code(), message));
  }
  pending_.clear();
  sent_.clear();
}

void Session::FailLocked(const absl::Status& why) {
  state_ = State::kFailed;
  failure_ = why;
  failed_attempts_ = 0;
  give_up_at_ = absl::InfiniteFuture();
  SettleAllLocked(why);
  resume_ids_.clear();
  DeliverLocked();
  driver_.Notify();
}

bool Session::DetachedUnacceptedLocked() {
  if (!sent_.empty()) return true;
  const auto detached = [](const Batch& batch) { return batch.spec()->detached; };
  if (std::any_of(pending_.begin(), pending_.end(), detached)) return true;
  return std::any_of(by_transfer_.begin(), by_transfer_.end(), [](const RecordPtr& record) {
    return record->place == TaskRecord::Place::kUploading;
  });
}

void Session::Close() {
  PREFORK_CHECK(!driver_.OnBackgroundThread());
  {
    absl::MutexLock lock(&mu());
    driver_.WaitUntil(
        [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
          return state_ == State::kFailed || !DetachedUnacceptedLocked();
        },
        absl::Now() + options_.reconnect_timeout);
    state_ = State::kClosed;
    if (block_ != nullptr) std::exchange(block_, nullptr)->Seal();
    if (context_ != nullptr) context_->TryCancel();
    backoff_alarm_.Cancel();
    for (const auto& transfer : transfers_) transfer->Abort();
    SettleAllLocked(absl::CancelledError("the client was closed"));
    DeliverLocked();
    driver_.WaitUntil(
        [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
          return stream_ == nullptr && !backing_off_ && transfers_.empty();
        },
        absl::InfiniteFuture());
  }
  driver_.Shutdown();
}

}  // namespace prefork::client::internal
