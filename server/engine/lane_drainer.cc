// From the up queue to the engine.
//
// A worker takes tasks from its lane in order and finishes one before it claims the next, so at any
// time exactly one task can be spoken about: the oldest in flight, and it must be claimed. Whatever
// else a record says is nonsense, and nonsense ends the worker: what it would say afterwards is
// worth nothing. A value in a segment has to be in one that this worker was given, and to fit.
//
// One call reads at most one ring's worth: all that was there when it began, and no more than that
// from a worker that writes as fast as it is read. The engine comes back in its next pass.
//
// The room of the records is given back once per batch, not once per record: one store to a cache
// line that the worker reads. The text of every record is copied before that.
#include "server/engine/lane_drainer.h"

#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/os/eventfd.h"
#include "common/text/utf8.h"
#include "server/engine/up_record.h"

namespace prefork::engine {
namespace {

constexpr size_t kReleaseEvery = 64;  // records; bounds what a full up queue makes a worker wait

std::string CleanText(std::string_view text) {
  return text.empty() ? std::string() : text::CleanUtf8(text);
}

// The task a record speaks about, or why it can't be.
absl::StatusOr<InFlight*> Match(WorkerLink& link, TaskId id) {
  InFlight* const task = link.Front();
  if (task == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("a record about task ", id, " from an empty lane"));
  }
  if (task->id != id) {
    return absl::InvalidArgumentError(
        absl::StrCat("a record about task ", id, " while it has to run task ", task->id));
  }
  if (!link.worker->lane().down().IsClaimed(task->position)) {
    return absl::InvalidArgumentError(
        absl::StrCat("a record about task ", id, ", which it has not claimed"));
  }
  return task;
}

// A value that the worker left in one of its segments.
absl::StatusOr<Bytes> TakeSegment(WorkerLink& link, uint64_t segment_id, uint64_t size_bytes) {
  shm::SegmentRef segment = link.worker->FindSegment(segment_id);
  if (segment == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("a value in segment ", segment_id, ", which it was never given"));
  }
  if (size_bytes > segment->capacity_bytes()) {
    return absl::InvalidArgumentError(absl::StrCat("a value of ", size_bytes, " bytes in segment ",
                                                   segment_id, " of ", segment->capacity_bytes()));
  }
  Bytes value(std::move(segment), static_cast<size_t>(size_bytes));
  link.worker->ReleaseSegment(segment_id);
  return value;
}

absl::Status HandleStarted(WorkerLink& link, LaneListener& listener,
                           std::span<const std::byte> body) {
  const absl::StatusOr<shm::StartedRecord> record = ReadStarted(body);
  if (!record.ok()) return record.status();
  const absl::StatusOr<InFlight*> task = Match(link, record->task_id);
  if (!task.ok()) return task.status();
  if ((*task)->started) {
    return absl::InvalidArgumentError(
        absl::StrCat("a second start of task ", record->task_id, " in one attempt"));
  }
  (*task)->started = true;
  listener.OnTaskStarted(link, **task, record->started_ns);
  return absl::OkStatus();
}

absl::Status HandleFinished(WorkerLink& link, LaneListener& listener,
                            std::span<const std::byte> body) {
  const absl::StatusOr<UpFinished> record = ReadFinished(body);
  if (!record.ok()) return record.status();
  const shm::FinishedRecord& fields = record->fields;
  const absl::StatusOr<InFlight*> task = Match(link, fields.task_id);
  if (!task.ok()) return task.status();
  FinishedReport report;
  if (fields.segment_id == 0) {
    if (!record->value.empty()) report.value = Bytes(std::string(record->value));
  } else {
    absl::StatusOr<Bytes> value = TakeSegment(link, fields.segment_id, fields.value_bytes);
    if (!value.ok()) return value.status();
    report.value = *std::move(value);
  }
  report.outcome = static_cast<shm::TaskOutcome>(fields.outcome);
  report.wait_status = fields.wait_status;
  report.started_ns = fields.started_ns;
  report.finished_ns = fields.finished_ns;
  report.cpu_ns = fields.cpu_ns;
  report.peak_rss_bytes = fields.peak_rss_bytes;
  report.error = CleanText(record->error);
  report.content_type = CleanText(record->content_type);
  const InFlight done = **task;
  link.Remove(*task);
  link.DropSegment(done.segment_id);
  ++link.tasks_done;
  listener.OnTaskFinished(link, done, std::move(report));
  return absl::OkStatus();
}

absl::Status HandleProgress(WorkerLink& link, LaneListener& listener,
                            std::span<const std::byte> body) {
  const absl::StatusOr<UpProgress> record = ReadProgress(body);
  if (!record.ok()) return record.status();
  const absl::StatusOr<InFlight*> task = Match(link, record->fields.task_id);
  if (!task.ok()) return task.status();
  listener.OnTaskProgress(
      link, **task,
      ProgressReport{record->fields.done, record->fields.total, CleanText(record->text)});
  return absl::OkStatus();
}

absl::Status HandlePartial(WorkerLink& link, LaneListener& listener,
                           std::span<const std::byte> body) {
  const absl::StatusOr<UpPartial> record = ReadPartial(body);
  if (!record.ok()) return record.status();
  const shm::PartialRecord& fields = record->fields;
  const absl::StatusOr<InFlight*> task = Match(link, fields.task_id);
  if (!task.ok()) return task.status();
  if (fields.value_bytes > shm::kMaxPartialBytes) {
    return absl::InvalidArgumentError(absl::StrCat("a partial result of ", fields.value_bytes,
                                                   " bytes; the largest is ",
                                                   shm::kMaxPartialBytes));
  }
  std::string value(record->value);
  if (fields.segment_id != 0) {
    const absl::StatusOr<Bytes> bytes = TakeSegment(link, fields.segment_id, fields.value_bytes);
    if (!bytes.ok()) return bytes.status();
    value = std::string(bytes->view());
  }
  listener.OnTaskPartial(link, **task, std::move(value), CleanText(record->content_type));
  return absl::OkStatus();
}

absl::Status Handle(WorkerLink& link, LaneListener& listener,
                    const shm::QueueConsumer::Record& record) {
  switch (record.kind) {
    case shm::RecordKind::kStarted:
      return HandleStarted(link, listener, record.body);
    case shm::RecordKind::kFinished:
      return HandleFinished(link, listener, record.body);
    case shm::RecordKind::kProgress:
      return HandleProgress(link, listener, record.body);
    case shm::RecordKind::kPartial:
      return HandlePartial(link, listener, record.body);
    case shm::RecordKind::kPadding:
    case shm::RecordKind::kTask:
      break;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("a record of kind ", static_cast<int>(record.kind), " in the up queue"));
}

}  // namespace

size_t DrainLane(WorkerLink& link, LaneListener& listener) {
  shm::QueueConsumer& up = link.worker->lane().up();
  size_t records = 0;
  std::optional<uint64_t> end;  // one ring's worth from where this call began
  while (!link.poisoned) {
    const absl::StatusOr<std::optional<shm::QueueConsumer::Record>> record = up.Next(false);
    if (record.ok() && !record->has_value()) break;
    const absl::Status status = record.ok() ? Handle(link, listener, **record) : record.status();
    if (!status.ok()) {
      link.poisoned = true;
      listener.OnNonsense(link, std::string(status.message()));
      return records;
    }
    if (++records % kReleaseEvery == 0) up.Release();
    if (!end) end = (*record)->offset + up.ring_bytes();
    if ((*record)->offset >= *end) break;
  }
  if (records % kReleaseEvery != 0) up.Release();
  // A worker that found the up queue full sleeps until there is room.
  if (records > 0 && up.TakeProducerWaiting()) {
    os::SignalEventfd(link.worker->lane().down_eventfd());
  }
  return records;
}

}  // namespace prefork::engine
