// Payloads that do not fit into a batch, and values that do not fit into an event.
//
// On the daemon's host both go by segment (see segment_payloads.h), when there is a segment socket;
// else each is a Transfer, a call of its own beside the stream (see transfer.cc). The session owns
// its transfers, and they tell it of their ends.
#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "client/cpp/session.h"
#include "common/os/check.h"

namespace prefork::client::internal {
namespace {

// For the first word on the segment socket, which a daemon that has just been started says when it is
// ready; without it payloads and values go through the stream.
constexpr absl::Duration kSegmentsTimeout = absl::Seconds(5);

}  // namespace

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

absl::StatusOr<std::shared_ptr<Segment>> Session::AllocateSegment(size_t size_bytes) {
  std::shared_ptr<SegmentChannel> segments;
  {
    absl::MutexLock lock(&mu());
    segments = segments_;
  }
  return MakeSegment(segments, size_bytes);
}

bool Session::Reaches(const Segment& segment) {
  std::shared_ptr<SegmentChannel> segments;
  {
    absl::MutexLock lock(&mu());
    segments = segments_;
  }
  return IsKnownTo(segments.get(), segment);
}

bool Session::TakeValueLocked(uint64_t segment_id, TaskResult* result) {
  absl::StatusOr<std::shared_ptr<const MappedValue>> value = TakeMappedValue(segments_, segment_id);
  if (!value.ok()) return false;
  result->mapped = *std::move(value);
  return true;
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

}  // namespace prefork::client::internal
