// The task session.
//
//   Submit -> pending_ (batches in wire form) -> Write -> daemon       this file
//   handle, callback <- settle <- by_tag_ <- Read <- daemon            session_events.cc
//   what is too large for a batch or an event, by a way of its own     session_transfers.cc
//   the stream opens, breaks, comes back; Close                        reconnect.cc
//
// A task is appended to the last pending batch when that has the same spec and room, and a write
// starts at once when none is under way and the daemon has answered most of what it was sent. So a
// lone task goes out at once, and in a burst the batch grows while the transport or the daemon is
// busy; there is no timer, because every submit is answered, by `accepted` or `rejected`, whether
// the task runs or not. Batches of detached tasks are kept (their bytes are shared with gRPC) until
// each task is acknowledged, since they are sent again after a break.
#include "client/cpp/session.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/os/check.h"

namespace prefork::client::internal {
namespace {

// What the daemon takes in one message is bounded; the rest goes in the next one.
constexpr size_t kMaxCancelsPerMessage = 10'000;
// Tasks without a verdict from which on small batches wait for one. Enough to keep workers busy for
// a round trip.
constexpr size_t kMaxUnanswered = 64;

void MoveSome(std::vector<uint64_t>& from, google::protobuf::RepeatedField<uint64_t>* to) {
  const size_t left = from.size() - std::min(from.size(), kMaxCancelsPerMessage);
  to->Add(from.begin() + left, from.end());
  from.resize(left);
}

}  // namespace

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

std::string Session::daemon_version() {
  absl::MutexLock lock(&mu());
  return daemon_version_;
}

}  // namespace prefork::client::internal
