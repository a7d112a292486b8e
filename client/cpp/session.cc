// The task session.
//
//   Submit -> pending_ (batches in wire form) -> Write -> daemon
//   handle, callback <- settle <- by_tag_ <- Read <- daemon
//
// Submits. A task is appended to the last pending batch when that has the same spec and room, and
// a write starts at once when none is under way and the daemon has answered most of what it was
// sent. So a lone task goes out at once, and in a burst the batch grows while the transport or the
// daemon is busy; there is no timer, because every submit is answered, by `accepted` or `rejected`,
// whether the task runs or not. Batches of detached tasks are kept (their bytes are shared with gRPC)
// until each task is acknowledged, since they are sent again after a break.
//
// Events. One read is outstanding at all times. A message is parsed into an arena and applied under
// the driver's mutex; what callbacks must hear of is gathered and posted to the background thread in
// one piece, so their order is the order of events.
//
// Results that do not fit into an event, and payloads that do not fit into a batch, are Transfers:
// see transfer.cc. On the daemon's host both go by segment: see segment_payloads.h. What happens when the stream breaks: see reconnect.cc.
#include "client/cpp/session.h"

#include <google/protobuf/io/zero_copy_stream.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cpp/convert.h"
#include "common/os/check.h"

namespace prefork::client::internal {
namespace {

absl::Status StatusOf(const google::rpc::Status& status) {
  return {static_cast<absl::StatusCode>(status.code()), status.message()};
}

// What the daemon takes in one message is bounded; the rest goes in the next one.
constexpr size_t kMaxCancelsPerMessage = 10'000;
// For the first word on the segment socket; without it payloads and values go through the stream.
constexpr absl::Duration kSegmentsTimeout = absl::Seconds(1);
constexpr size_t kArenaBlockBytes = 64 << 10;
// Tasks without a verdict from which on small batches wait for one. Enough to keep workers busy for
// a round trip.
constexpr size_t kMaxUnanswered = 64;

void MoveSome(std::vector<uint64_t>& from, google::protobuf::RepeatedField<uint64_t>* to) {
  const size_t left = from.size() - std::min(from.size(), kMaxCancelsPerMessage);
  to->Add(from.begin() + left, from.end());
  from.resize(left);
}

absl::Status OwnThreadError() {
  return absl::FailedPreconditionError(
      "waiting for a task inside a callback would wait for ever: callbacks run on the client's "
      "thread, which takes in the results; wait elsewhere");
}

}  // namespace

google::protobuf::ArenaOptions Session::MessageArena() {
  google::protobuf::ArenaOptions options;
  options.max_block_size = kArenaBlockBytes;
  return options;
}

absl::StatusOr<TaskHandle> Session::Submit(const std::shared_ptr<const EncodedSpec>& spec,
                                           std::string_view bytes, const SegmentSlice& slice,
                                           std::string_view request_id, SubmitOptions&& options,
                                           bool wait) {
  PlacedPayload payload{.bytes = bytes};
  if (bytes.size() >= kSegmentThresholdBytes || slice.segment != nullptr) {
    std::shared_ptr<SegmentChannel> segments;
    {
      absl::MutexLock lock(&mu());
      segments = segments_;
    }
    absl::StatusOr<PlacedPayload> placed = PlacePayload(segments, bytes, slice);
    if (!placed.ok()) return placed.status();
    payload = *std::move(placed);
  }
  absl::MutexLock lock(&mu());
  if (in_flight_ >= options_.max_in_flight) {
    if (!wait || driver_.OnBackgroundThread()) {
      return absl::ResourceExhaustedError(absl::StrCat(
          in_flight_, " tasks are in flight, the client's max_in_flight; wait for some",
          " or raise it"));
    }
    driver_.WaitUntil(
        [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
          return in_flight_ < options_.max_in_flight || state_ == State::kClosed;
        },
        absl::InfiniteFuture());
  }
  if (state_ == State::kClosed) return absl::CancelledError("the client is closed");
  if (state_ == State::kFailed) {
    give_up_at_ = absl::Now() + options_.reconnect_timeout;
    state_ = State::kConnecting;
    StartStreamLocked();
  }
  RecordPtr record = MakeRecordLocked(spec->detached, std::move(options));
  ++in_flight_;
  if (record->callbacks != nullptr) driver_.AddBackgroundInterest(1);
  if (max_inline_bytes_ != 0 && payload.bytes.size() > max_inline_bytes_) {
    v1::TaskSpec full;
    PREFORK_CHECK(full.ParseFromString(spec->bytes));
    full.set_request_id(std::string(request_id));
    record->place = TaskRecord::Place::kUploading;
    by_transfer_.insert(record);
    StartTransferLocked(
        MakeUpload(MakeTransferContext(record), std::move(full), std::string(payload.bytes)));
  } else if (record->detached && request_id.empty()) {
    AppendLocked(spec, record, std::move(payload), NewRequestIdLocked());
    WriteNextLocked();
  } else {
    AppendLocked(spec, record, std::move(payload), request_id);
    WriteNextLocked();
  }
  return TaskHandle(std::move(record));
}

RecordPtr Session::MakeRecordLocked(bool detached, SubmitOptions&& options) {
  if (block_ == nullptr) block_ = new RecordBlock(shared_from_this());
  RecordPtr record = block_->Make(detached, std::move(options));
  if (block_->full()) block_ = nullptr;  // its records have it
  return record;
}

void Session::AppendLocked(const std::shared_ptr<const EncodedSpec>& spec, const RecordPtr& record,
                           PlacedPayload payload, std::string_view request_id) {
  record->tag = next_tag_++;
  by_tag_.Add(record->tag, record);
  if (pending_.empty() || pending_.back().full() ||
      (pending_.back().spec() != spec && pending_.back().spec()->bytes != spec->bytes)) {
    pending_.emplace_back(spec);
  }
  if (!payload.in_segment()) {
    pending_.back().Add(record->tag, payload.bytes, request_id);
    return;
  }
  pending_.back().Add(record->tag, {}, request_id, EncodePlace(payload));
  payloads_.Add(record->tag, std::move(payload));
}

std::string Session::NewRequestIdLocked() {
  return absl::StrCat(request_id_prefix_, ++request_ids_made_);
}

void Session::WriteNextLocked() {
  if (state_ != State::kOpen || broken_) return;
  if (writing_) {
    driver_.DriveInBackground();
    return;
  }
  for (const bool force : {true, false}) {
    std::vector<uint64_t>& tags = force ? kill_tags_ : cancel_tags_;
    std::vector<uint64_t>& ids = force ? kill_ids_ : cancel_ids_;
    if (tags.empty() && ids.empty()) continue;
    v1::SessionRequest request;
    request.mutable_cancel()->set_force(force);
    MoveSome(tags, request.mutable_cancel()->mutable_tags());
    MoveSome(ids, request.mutable_cancel()->mutable_task_ids());
    const std::string bytes = request.SerializeAsString();
    const grpc::Slice slice(bytes);
    return WriteLocked(grpc::ByteBuffer(&slice, 1));
  }
  if (pending_.empty()) return;
  if (unanswered_ >= kMaxUnanswered && pending_.size() == 1 && !pending_.front().full()) {
    driver_.DriveInBackground();  // the answer lets it go
    return;
  }
  Batch batch = std::move(pending_.front());
  pending_.pop_front();
  unsent_tag_ = batch.last_tag() + 1;
  unanswered_ += batch.items();
  for (const uint64_t tag : std::exchange(cancel_when_sent_, {})) {
    if (TaskRecord* const record = by_tag_.Find(tag)) SendCancelLocked(*record);
  }
  const grpc::ByteBuffer message = batch.ToRequest();
  if (batch.spec()->detached) sent_.push_back({batch, batch.items()});
  WriteLocked(message);
}

void Session::WriteLocked(const grpc::ByteBuffer& message) {
  writing_ = true;
  ++operations_;
  stream_->Write(message, &written_);
}

void Session::OnWritten(bool ok) {
  absl::MutexLock lock(&mu());
  writing_ = false;
  --operations_;
  if (!ok) BreakLocked();
  if (broken_) return StreamEndedLocked();
  WriteNextLocked();
}

// Reading goes on after a failed write: what the daemon has said must be taken in, and gRPC gives
// the stream's status only after its last message.
void Session::OnRead(bool ok) {
  v1::SessionResponse* response = nullptr;
  bool understood = false;
  if (ok) {
    arena_.Reset();
    response = google::protobuf::Arena::CreateMessage<v1::SessionResponse>(&arena_);
    grpc::ProtoBufferReader reader(&read_buffer_);
    understood = response->ParseFromZeroCopyStream(&reader);
  }
  {
    absl::MutexLock lock(&mu());
    --operations_;
    if (!ok || !understood) BreakLocked();
    if (!ok) return StreamEndedLocked();
    if (!understood) context_->TryCancel();
    read_buffer_.Clear();
    ++operations_;
    stream_->Read(&read_buffer_, &read_);
  }
  if (understood) HandleResponse(*response);
}

void Session::HandleResponse(v1::SessionResponse& response) {
  absl::MutexLock lock(&mu());
  if (response.has_opened() && state_ == State::kConnecting && !broken_) {
    const v1::SessionOpened& opened = response.opened();
    state_ = State::kOpen;
    opened_once_ = true;
    failed_attempts_ = 0;
    give_up_at_ = absl::InfiniteFuture();
    daemon_version_ = opened.daemon_version();
    max_inline_bytes_ = opened.max_inline_payload_bytes();
    driver_.Notify();
    WriteNextLocked();
  }
  for (const v1::TaskAccepted& accepted : response.events().accepted()) AcceptLocked(accepted);
  for (const v1::TaskRejected& rejected : response.events().rejected()) {
    // An accepted task that another session has now.
    const bool taken_over =
        rejected.status().code() == static_cast<int>(absl::StatusCode::kAborted);
    if (!taken_over) {
      AcknowledgeLocked(rejected.tag());
      unanswered_ -= std::min<size_t>(unanswered_, 1);
    }
    TaskRecord* const record = by_tag_.Find(rejected.tag());
    if (record == nullptr) continue;
    const uint64_t id = record->id;
    SettleLocked(*record, id == 0 || taken_over
                              ? StatusOf(rejected.status())
                              : absl::NotFoundError(absl::StrCat(
                                    "the daemon no longer knows task ", id,
                                    " after a reconnect: ", rejected.status().message())));
  }
  for (v1::TaskEvent& event : *response.mutable_events()->mutable_events()) {
    HandleEventLocked(event);
  }
  DeliverLocked();
  if (!writing_) WriteNextLocked();
}

void Session::AcceptLocked(const v1::TaskAccepted& accepted) {
  // The daemon acknowledges what it was sent; a count beyond that is cut here.
  const uint64_t count = accepted.first_tag() < next_tag_
                             ? std::min(accepted.count(), next_tag_ - accepted.first_tag())
                             : 0;
  unanswered_ -= std::min<uint64_t>(unanswered_, count);
  for (uint64_t i = 0; i < count; ++i) {
    if (!sent_.empty()) AcknowledgeLocked(accepted.first_tag() + i);
    if (TaskRecord* const record = by_tag_.Find(accepted.first_tag() + i)) {
      record->id.store(accepted.first_task_id() + i, std::memory_order_release);
      payloads_.Accepted(record->tag);
    }
  }
}

void Session::AcknowledgeLocked(uint64_t tag) {
  for (SentBatch& sent : sent_) {
    if (tag < sent.batch.first_tag() || tag > sent.batch.last_tag()) continue;
    --sent.unacknowledged;
    break;
  }
  while (!sent_.empty() && sent_.front().unacknowledged == 0) sent_.pop_front();
}

void Session::HandleEventLocked(v1::TaskEvent& event) {
  TaskRecord* const record = by_tag_.Find(event.tag());
  if (record == nullptr) return;
  if (event.event_case() == v1::TaskEvent::kFinished) {
    if (record->id == 0) record->id.store(event.task_id(), std::memory_order_release);
    const uint64_t value_bytes = event.finished().value_bytes();
    const uint64_t segment_id = event.finished().value_segment_id();
    TaskResult result = FromProto(std::move(*event.mutable_finished()));
    if (segment_id != 0 && TakeValueLocked(segment_id, &result)) {
      SettleLocked(*record, std::move(result));
    } else if (result.ok() && value_bytes > result.value.size()) {
      StartTransferLocked(
          MakeFetch(MakeTransferContext(RecordPtr(record)), event.task_id(), std::move(result)));
    } else {
      SettleLocked(*record, std::move(result));
    }
    return;
  }
  if (record->callbacks == nullptr || !record->callbacks->on_event) return;
  std::optional<TaskEvent> translated = FromProto(std::move(event));
  if (translated) deliveries_.push_back({RecordPtr(record), std::move(translated)});
}

void Session::SettleLocked(TaskRecord& record, absl::StatusOr<TaskResult> outcome) {
  if (record.done) return;
  RecordPtr kept;
  if (record.place != TaskRecord::Place::kSession) {
    kept = RecordPtr(&record);
    by_transfer_.erase(kept);
  } else if (by_tag_.Find(record.tag) == &record) {  // else the tag is of a stream that is gone
    kept = by_tag_.Remove(record.tag);
    payloads_.Ended(record.tag);
  }
  record.outcome = std::move(outcome);
  record.done.store(true, std::memory_order_release);
  --in_flight_;
  if (record.callbacks != nullptr) deliveries_.push_back({RecordPtr(&record), std::nullopt});
}

void Session::DeliverLocked() {
  if (driver_.HasWaiters()) driver_.Notify();
  if (deliveries_.empty()) return;
  ++deliveries_running_;
  driver_.Post([this, deliveries = std::exchange(deliveries_, {})]() mutable {
    int settled = 0;
    for (Delivery& delivery : deliveries) {
      const TaskHandle handle(delivery.record);
      if (delivery.event) {
        delivery.record->callbacks->on_event(handle, *delivery.event);
        continue;
      }
      // A callback may hold its own handle; it goes with the last call.
      const std::unique_ptr<SubmitOptions> callbacks = std::move(delivery.record->callbacks);
      const absl::StatusOr<TaskResult>& outcome = delivery.record->outcome;
      if (callbacks->on_done && WantsCopy(outcome)) {
        callbacks->on_done(handle, ResultOf(outcome));
      } else if (callbacks->on_done) {
        callbacks->on_done(handle, outcome);
      }
      ++settled;
    }
    absl::MutexLock lock(&mu());
    driver_.AddBackgroundInterest(-settled);
    --deliveries_running_;
    driver_.Notify();
  });
}

absl::Status Session::WaitDone(TaskRecord& record, absl::Time deadline) {
  if (record.done.load(std::memory_order_acquire)) return absl::OkStatus();
  if (driver_.OnBackgroundThread()) return OwnThreadError();
  absl::MutexLock lock(&mu());
  if (driver_.WaitUntil([&record] { return record.done.load(); }, deadline)) {
    return absl::OkStatus();
  }
  const uint64_t id = record.id;
  return absl::DeadlineExceededError(
      id == 0 ? "the task has not been accepted yet; it goes on"
              : absl::StrCat("task ", id, " has not ended yet; it goes on"));
}

absl::StatusOr<uint64_t> Session::WaitAccepted(TaskRecord& record, absl::Time deadline) {
  const auto known = [&record] { return record.id != 0 || record.done; };
  if (!known()) {
    if (driver_.OnBackgroundThread()) return OwnThreadError();
    absl::MutexLock lock(&mu());
    if (!driver_.WaitUntil(known, deadline)) {
      return absl::DeadlineExceededError("the daemon has not accepted the task yet");
    }
  }
  if (record.id != 0) return record.id.load();
  return record.outcome.status();
}

absl::Status Session::WaitAll(absl::Time deadline) {
  if (driver_.OnBackgroundThread()) return OwnThreadError();
  absl::MutexLock lock(&mu());
  if (driver_.WaitUntil(
          [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
            return in_flight_ == 0 && deliveries_running_ == 0;
          },
          deadline)) {
    return absl::OkStatus();
  }
  return absl::DeadlineExceededError(absl::StrCat(in_flight_, " tasks have not ended yet"));
}

void Session::Cancel(TaskRecord& record, bool force) {
  absl::MutexLock lock(&mu());
  if (record.done || (record.cancel_asked && !force) || record.cancel_forced) return;
  record.cancel_asked = true;
  record.cancel_forced = force;
  SendCancelLocked(record);
  WriteNextLocked();
}

// By tag while the ID is unknown: the stream's order puts the cancel after the submit, so long as
// the submit has been written. A pending task's cancel waits for that; see WriteNextLocked.
void Session::SendCancelLocked(TaskRecord& record) {
  if (record.id != 0) {
    (record.cancel_forced ? kill_ids_ : cancel_ids_).push_back(record.id);
  } else if (record.place == TaskRecord::Place::kSession) {
    if (record.tag >= unsent_tag_) return cancel_when_sent_.push_back(record.tag);
    (record.cancel_forced ? kill_tags_ : cancel_tags_).push_back(record.tag);
  }
}

void Session::UploadAccepted(const RecordPtr& record, uint64_t task_id) {
  absl::MutexLock lock(&mu());
  record->id.store(task_id, std::memory_order_release);
  record->place = TaskRecord::Place::kUploaded;
  driver_.Notify();
  if (record->cancel_asked) {
    SendCancelLocked(*record);
    WriteNextLocked();
  }
  if (!record->done) StartTransferLocked(MakeFollow(MakeTransferContext(record), task_id));
}

void Session::TransferDone(const RecordPtr& record, absl::StatusOr<TaskResult> outcome) {
  absl::MutexLock lock(&mu());
  SettleLocked(*record, std::move(outcome));
  DeliverLocked();
}

void Session::FetchValue(const RecordPtr& record, uint64_t task_id, TaskResult result) {
  absl::MutexLock lock(&mu());
  StartTransferLocked(MakeFetch(MakeTransferContext(record), task_id, std::move(result)));
}

bool Session::TransferStillWanted(const RecordPtr& record) { return !record->done; }

void Session::TransferEnded(Transfer* transfer) {
  std::unique_ptr<Transfer> ended;
  absl::MutexLock lock(&mu());
  const auto found =
      std::find_if(transfers_.begin(), transfers_.end(),
                   [transfer](const auto& candidate) { return candidate.get() == transfer; });
  PREFORK_CHECK(found != transfers_.end());
  ended = std::move(*found);
  transfers_.erase(found);
  driver_.Notify();
}

void Session::StartTransferLocked(std::unique_ptr<Transfer> transfer) {
  Transfer* const started = transfer.get();
  transfers_.push_back(std::move(transfer));
  started->Start();
}

TransferContext Session::MakeTransferContext(const RecordPtr& record) {
  return {this, channel_, &driver_.queue(), record, options_.address};
}

void Session::ConnectSegments(absl::Time deadline) {
  {
    absl::MutexLock lock(&mu());
    if (segments_ != nullptr && segments_->alive()) return;
  }
  absl::StatusOr<std::shared_ptr<SegmentChannel>> segments =
      SegmentChannel::Connect(options_.address, std::min(deadline, absl::Now() + kSegmentsTimeout));
  absl::MutexLock lock(&mu());
  segments_ = segments.ok() ? *std::move(segments) : nullptr;
}

bool Session::TakeValueLocked(uint64_t segment_id, TaskResult* result) {
  absl::StatusOr<std::shared_ptr<const MappedValue>> value = TakeMappedValue(segments_, segment_id);
  if (value.ok()) result->mapped = *std::move(value);
  return value.ok();
}

bool Session::WantsCopy(const absl::StatusOr<TaskResult>& outcome) const {
  return !options_.map_values && outcome.ok() && outcome->mapped != nullptr;
}

absl::StatusOr<TaskResult> Session::ResultOf(const absl::StatusOr<TaskResult>& outcome) const {
  absl::StatusOr<TaskResult> result = outcome;
  if (!WantsCopy(outcome)) return result;
  result->value = std::string(outcome->mapped->view());
  result->mapped.reset();
  return result;
}

absl::StatusOr<std::shared_ptr<Segment>> Session::AllocateSegment(size_t size_bytes) {
  std::shared_ptr<SegmentChannel> segments;
  {
    absl::MutexLock lock(&mu());
    segments = segments_;
  }
  return MakeSegment(segments, size_bytes);
}

std::string Session::daemon_version() {
  absl::MutexLock lock(&mu());
  return daemon_version_;
}

}  // namespace prefork::client::internal
