#include "server/worker/result_publisher.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "server/worker/leftovers.h"

namespace prefork::worker {
namespace {

// Over this a value goes into a segment: copying it through the ring would cost more.
constexpr size_t kMaxInlineBytes = 16 << 10;
using shm::kMaxContentTypeBytes;
// A quarter of the largest record holds the error text, however small the lane.
constexpr size_t kErrorShare = 4;
constexpr size_t kMaxProgressTextBytes = 1024;

// Appends parts to a record's body.
class BodyWriter {
 public:
  explicit BodyWriter(std::span<std::byte> body) : next_(body.data()) {}
  template <typename Record>
  BodyWriter& Struct(const Record& record) {
    return Bytes({reinterpret_cast<const char*>(&record), sizeof(record)});
  }
  BodyWriter& Bytes(std::string_view bytes) {
    if (!bytes.empty()) std::memcpy(next_, bytes.data(), bytes.size());
    next_ += bytes.size();
    return *this;
  }

 private:
  std::byte* next_;
};

}  // namespace

std::span<std::byte> ResultPublisher::Reserve(shm::RecordKind kind, size_t body_bytes) {
  for (;;) {
    const std::span<std::byte> body = lane_->up().Reserve(kind, body_bytes);
    if (!body.empty()) return body;
    // A broken index means that the memory was overwritten; the daemon sees a broken worker.
    if (!lane_->up().used_bytes().ok()) EndWorker(1);
    if (sleeper_->WaitForRoom(body_bytes, /*timeout_ns=*/-1).control) link_->Serve();
  }
}

void ResultPublisher::Publish(uint64_t task_id) {
  lane_->up().Commit();
  if (observer_ != nullptr) {
    observer_->OnWorkerStep(WorkerStep::kResultWritten, {lane_, link_->fd(), task_id});
    lane_->up().Publish();
    observer_->OnWorkerStep(WorkerStep::kResultPublished, {lane_, link_->fd(), task_id});
  }
  lane_->up().PublishAndWake();
}

void ResultPublisher::Started(uint64_t task_id, int64_t started_ns) {
  const shm::StartedRecord record = {task_id, started_ns};
  BodyWriter(Reserve(shm::RecordKind::kStarted, sizeof(record))).Struct(record);
  lane_->up().Commit();
  lane_->up().PublishAndWake();
}

void ResultPublisher::Progress(uint64_t task_id, double done, double total, std::string_view text) {
  const size_t most =
      std::min(kMaxProgressTextBytes, lane_->up().max_body_bytes() - sizeof(shm::ProgressRecord));
  text = text.substr(0, most);
  const shm::ProgressRecord record = {task_id, done, total, text.size()};
  BodyWriter(Reserve(shm::RecordKind::kProgress, sizeof(record) + text.size()))
      .Struct(record)
      .Bytes(text);
  lane_->up().Commit();
  lane_->up().PublishAndWake();
}

absl::Status ResultPublisher::CheckContentType(std::string_view content_type) {
  if (content_type.size() <= kMaxContentTypeBytes) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("content type of ", content_type.size(),
                                                 " bytes; at most ", kMaxContentTypeBytes,
                                                 " are allowed"));
}

bool ResultPublisher::FitsInline(size_t value_bytes) const {
  const size_t record_bytes =
      lane_->up().max_body_bytes() - sizeof(shm::FinishedRecord) - kMaxContentTypeBytes;
  return value_bytes <= std::min(kMaxInlineBytes, record_bytes);
}

absl::StatusOr<ResultPublisher::Value> ResultPublisher::Place(std::string_view value) {
  if (FitsInline(value.size())) return Value{value, 0, value.size()};
  absl::StatusOr<DaemonLink::Room> room = link_->RequestSegment(value.size());
  if (!room.ok()) {
    return absl::Status(room.status().code(), absl::StrCat("value of ", value.size(),
                                                           " bytes: ", room.status().message()));
  }
  std::memcpy(room->bytes.data(), value.data(), value.size());
  return Value{{}, room->segment_id, value.size()};
}

absl::Status ResultPublisher::Partial(uint64_t task_id, std::string_view value,
                                      std::string_view content_type) {
  if (absl::Status status = CheckContentType(content_type); !status.ok()) return status;
  if (value.size() > shm::kMaxPartialBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("partial result of ", value.size(), " bytes; at most ", shm::kMaxPartialBytes,
                     " are allowed: emit it in parts, or return it as the task's value"));
  }
  const absl::StatusOr<Value> placed = Place(value);
  if (!placed.ok()) return placed.status();
  const shm::PartialRecord record = {task_id, placed->segment_id, placed->size_bytes,
                                     static_cast<uint32_t>(content_type.size()), 0};
  const size_t body_bytes = sizeof(record) + content_type.size() + placed->inline_bytes.size();
  BodyWriter(Reserve(shm::RecordKind::kPartial, body_bytes))
      .Struct(record)
      .Bytes(content_type)
      .Bytes(placed->inline_bytes);
  lane_->up().Commit();
  lane_->up().PublishAndWake();
  return absl::OkStatus();
}

void ResultPublisher::Finished(shm::FinishedRecord record, std::string_view error,
                               std::string_view content_type, const Value& value) {
  error = error.substr(0, lane_->up().max_body_bytes() / kErrorShare);
  record.segment_id = value.segment_id;
  record.value_bytes = value.size_bytes;
  record.error_bytes = static_cast<uint32_t>(error.size());
  record.content_type_bytes = static_cast<uint32_t>(content_type.size());
  const size_t body_bytes =
      sizeof(record) + error.size() + content_type.size() + value.inline_bytes.size();
  BodyWriter(Reserve(shm::RecordKind::kFinished, body_bytes))
      .Struct(record)
      .Bytes(error)
      .Bytes(content_type)
      .Bytes(value.inline_bytes);
  Publish(record.task_id);
}

}  // namespace prefork::worker
