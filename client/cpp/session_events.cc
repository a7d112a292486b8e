// What the daemon says of tasks, and who hears of it.
//
// One read is outstanding at all times. A message is parsed into an arena and applied under the
// driver's mutex; what callbacks must hear of is gathered and posted to the background thread in one
// piece, so their order is the order of events. Who waits for a task waits on the driver, which
// every message that settles one wakes.
#include <google/protobuf/io/zero_copy_stream.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cpp/convert.h"
#include "client/cpp/grpc_status.h"
#include "client/cpp/session.h"

namespace prefork::client::internal {
namespace {

constexpr size_t kArenaBlockBytes = 64 << 10;

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
                              ? FromRpc(rejected.status())
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
    const bool taken = segment_id != 0 && TakeValueLocked(segment_id, &result);
    if (!taken && result.ok() && value_bytes > result.value.size()) {
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

}  // namespace prefork::client::internal
