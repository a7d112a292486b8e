// From the engine to the down queue.
//
// For each task: the assignment is recorded in the link, a large payload's segment is handed over
// on the control socket, the record is committed. Once per pass and worker everything is published
// with one store, and one eventfd write if the worker sleeps. A worker therefore never sees a task
// that the link does not know, and never a segment's name before it can have the segment.
#include "server/engine/lane_feeder.h"

#include <cstring>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/shm/lane_layout.h"

namespace prefork::engine {
namespace {

std::byte* CopyTo(std::byte* place, std::string_view text) {
  if (!text.empty()) std::memcpy(place, text.data(), text.size());
  return place + text.size();
}

// What it means that a segment could not be sent.
FeedResult ResultOf(const absl::Status& sent) {
  if (absl::IsResourceExhausted(sent)) return FeedResult::kShortage;
  const bool unreachable =
      absl::IsAborted(sent) || absl::IsFailedPrecondition(sent) || absl::IsUnavailable(sent);
  return unreachable ? FeedResult::kUnreachable : FeedResult::kNever;
}

}  // namespace

size_t LaneBytes(const TaskOptions& options, size_t payload_bytes) {
  return sizeof(shm::TaskRecord) + options.function.size() + options.content_type.size() +
         payload_bytes;
}

FeedResult FeedLane(WorkerLink& link, TaskSlot slot, const TaskRecord& task, uint32_t attempt,
                    uint32_t flags, std::string* why) {
  shm::QueueProducer& down = link.worker->lane().down();
  const shm::SegmentRef& segment = task.payload.segment();
  const std::string_view inline_payload = segment ? std::string_view() : task.payload.view();
  const size_t body_bytes = LaneBytes(*task.options, inline_payload.size());
  // Before the segment is sent: what has gone out can't be taken back.
  if (!down.HasRoom(body_bytes)) {
    if (body_bytes > down.max_body_bytes()) {
      *why = absl::StrCat("a task of ", body_bytes, " bytes with its inline payload; a lane takes ",
                          down.max_body_bytes());
      return FeedResult::kNever;
    }
    *why = absl::StrCat("no room for ", body_bytes, " bytes");
    return FeedResult::kLaneFull;
  }
  if (segment && !link.HoldsSegment(segment->id())) {
    if (const absl::Status sent = link.worker->SendSegment(segment); !sent.ok()) {
      *why = std::string(sent.message());
      return ResultOf(sent);
    }
  }
  const std::span<std::byte> body = down.Reserve(shm::RecordKind::kTask, body_bytes);
  const shm::TaskRecord fields = {
      .task_id = task.id,
      .attempt = attempt,
      .flags = flags,
      .segment_id = segment ? segment->id() : 0,
      .payload_offset = task.payload.offset(),
      .payload_bytes = task.payload.size(),
      .function_bytes = static_cast<uint32_t>(task.options->function.size()),
      .content_type_bytes = static_cast<uint32_t>(task.options->content_type.size()),
  };
  std::memcpy(body.data(), &fields, sizeof(fields));
  std::byte* place = body.data() + sizeof(fields);
  place = CopyTo(place, task.options->function);
  place = CopyTo(place, task.options->content_type);
  CopyTo(place, inline_payload);
  InFlight entry;
  entry.slot = slot;
  entry.attempt = attempt;
  entry.id = task.id;
  entry.segment_id = fields.segment_id;
  entry.position = down.Commit();
  link.Add(entry);
  link.unpublished = true;
  return FeedResult::kFed;
}

bool RevokeFromLane(WorkerLink& link, TaskSlot slot) {
  InFlight* const entry = link.Find(slot);
  if (entry == nullptr) return false;
  // The next task of a worker that wrote nonsense may have begun, whatever its claim word says.
  if (link.poisoned && entry == link.Front()) return false;
  PublishLane(link);  // only published records can be revoked
  if (!link.worker->lane().down().Revoke(entry->position)) return false;
  const uint64_t segment_id = entry->segment_id;
  link.Remove(entry);
  link.DropSegment(segment_id);
  return true;
}

void PublishLane(WorkerLink& link) {
  if (!link.unpublished) return;
  link.unpublished = false;
  link.worker->lane().down().PublishAndWake();
}

}  // namespace prefork::engine
