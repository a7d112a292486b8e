#include "server/worker/lane_task_context.h"

#include <poll.h>

#include "absl/strings/str_cat.h"
#include "server/worker/worker_signals.h"

namespace prefork::worker {

void LaneTaskContext::Begin(uint64_t task_id) {
  task_id_ = task_id;
  has_allocated_ = false;
  segment_id_ = 0;
}

bool LaneTaskContext::Cancelled() const {
  return status_->cancelled_task.load(std::memory_order_relaxed) == task_id_;
}

void LaneTaskContext::Progress(double done, double total, std::string_view text) {
  publisher_->Progress(task_id_, done, total, text);
}

absl::Status LaneTaskContext::Emit(std::string_view value, std::string_view content_type) {
  return publisher_->Partial(task_id_, value, content_type);
}

absl::StatusOr<std::span<char>> LaneTaskContext::AllocateValue(size_t size_bytes) {
  if (has_allocated_) {
    return absl::FailedPreconditionError("a task can allocate its value only once");
  }
  if (publisher_->FitsInline(size_bytes)) {
    small_value_.resize(size_bytes);
    has_allocated_ = true;
    return std::span<char>(small_value_);
  }
  absl::StatusOr<DaemonLink::Room> room = link_->RequestSegment(size_bytes);
  if (!room.ok()) {
    return absl::Status(room.status().code(),
                        absl::StrCat("value of ", size_bytes, " bytes: ", room.status().message()));
  }
  has_allocated_ = true;
  segment_id_ = room->segment_id;
  segment_value_bytes_ = size_bytes;
  return room->bytes;
}

ResultPublisher::Value LaneTaskContext::allocated() const {
  if (segment_id_ != 0) return {{}, segment_id_, segment_value_bytes_};
  return {small_value_, 0, small_value_.size()};
}

void LaneTaskContext::WaitReadable(int fd) {
  SetActivity(Activity::kWatching);
  pollfd polled = {fd, POLLIN, 0};
  while (poll(&polled, 1, 0) < 1) link_->WaitReadable(fd, /*timeout_ns=*/-1);
  SetActivity(Activity::kTask);
}

}  // namespace prefork::worker
