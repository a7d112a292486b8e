// Leases and late answers.
//
//   daemon                                  worker
//   Send    --- SEGMENT, its memfd -------> maps it, meets the task that names it
//           <-- SEGMENT_REQUEST ----------- needs room for a value, waits
//   Grant   --- VALUE_SEGMENT, its memfd -> writes the value
//   Deny    --- SEGMENT_DENIED -----------> goes on without
//   Release --- SEGMENT_RELEASE ----------> unmaps it
//
// A lease is a reference to the segment: the memory goes to nobody else until it is released, or the
// worker is gone. The worker sends no second request before the answer, so there is at most one
// answer to keep: one that finds the control socket full waits, with its segment, until the loop
// says that there is room. All else that finds no room is the caller's to deal with.
#include "server/pool/worker_segments.h"

#include <sys/epoll.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace prefork::pool {

absl::Status WorkerSegments::CheckControl() const {
  if (control_->valid()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("worker ", worker_.index, " generation ",
                                                    worker_.generation,
                                                    " is ending; it takes no more"));
}

absl::Status WorkerSegments::Lend(const shm::SegmentRef& segment, const zygote::Message& message) {
  if (absl::Status status = CheckControl(); !status.ok()) return status;
  const int fd = segment->fd();
  if (absl::Status status = control_->Send(message, {fd}); !status.ok()) return status;
  leases_[segment->id()] = segment;
  return absl::OkStatus();
}

absl::Status WorkerSegments::Send(const shm::SegmentRef& segment) {
  return Lend(segment, zygote::SegmentGrant{segment->id(), segment->capacity_bytes()});
}

absl::Status WorkerSegments::Answer(zygote::Message message, shm::SegmentRef segment) {
  if (absl::Status status = CheckControl(); !status.ok()) return status;
  absl::Status status = segment == nullptr ? control_->Send(message) : Lend(segment, message);
  if (status.ok()) asked_ = false;
  if (!absl::IsUnavailable(status)) return status;
  status = loop_->Modify(control_->fd(), EPOLLIN | EPOLLOUT);
  if (status.ok()) late_answer_ = LateAnswer{std::move(message), std::move(segment)};
  return status;
}

absl::Status WorkerSegments::OnWritable() {
  absl::Status status = loop_->Modify(control_->fd(), EPOLLIN);
  if (std::optional<LateAnswer> late = std::exchange(late_answer_, std::nullopt)) {
    status.Update(Answer(std::move(late->message), std::move(late->segment)));
  }
  return status;
}

absl::Status WorkerSegments::Grant(const shm::SegmentRef& segment) {
  return Answer(zygote::ValueSegment{segment->id(), segment->capacity_bytes()}, segment);
}

absl::Status WorkerSegments::Deny(uint64_t size_bytes, std::string_view why) {
  return Answer(zygote::SegmentDenied{size_bytes, std::string(why)}, nullptr);
}

shm::SegmentRef WorkerSegments::Find(uint64_t segment_id) const {
  const auto lease = leases_.find(segment_id);
  return lease == leases_.end() ? nullptr : lease->second;
}

void WorkerSegments::Release(uint64_t segment_id) {
  if (leases_.erase(segment_id) == 0 || !control_->valid()) return;
  // If it can't be told now it keeps the memory mapped until it ends; the bytes are no longer its.
  control_->Send(zygote::SegmentRelease{segment_id}).IgnoreError();
}

void WorkerSegments::Clear() {
  leases_.clear();
  late_answer_.reset();
}

}  // namespace prefork::pool
