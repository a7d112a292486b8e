#ifndef PREFORK_SERVER_POOL_WORKER_SEGMENTS_H_
#define PREFORK_SERVER_POOL_WORKER_SEGMENTS_H_

#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "common/os/event_loop.h"
#include "common/shm/segment.h"
#include "common/zygote/control_socket.h"
#include "common/zygote/protocol.h"

namespace prefork::pool {

// The segments that one worker is given over its control socket: its leases, and the answers to its
// requests. What the failures mean is told in worker.h, the design note is in worker_segments.cc.
class WorkerSegments {
 public:
  // `loop` and `control` are not owned. The owner watches `control`, and calls OnWritable when the
  // loop says EPOLLOUT.
  WorkerSegments(zygote::WorkerName worker, os::EventLoop* loop, zygote::ControlSocket* control)
      : worker_(worker), loop_(loop), control_(control) {}

  // Hands a segment over ahead of a task that names it.
  absl::Status Send(const shm::SegmentRef& segment);

  // The worker asks for a segment. REQUIRES: no request is unanswered.
  void NoteRequest() { asked_ = true; }
  // Does the worker wait for an answer?
  bool asked() const { return asked_; }
  absl::Status Grant(const shm::SegmentRef& segment);
  absl::Status Deny(uint64_t size_bytes, std::string_view why);
  // Sends the answer that found no room. What fails now leaves the worker without one.
  absl::Status OnWritable();

  // The lease of `segment_id`, or null.
  shm::SegmentRef Find(uint64_t segment_id) const;
  void Release(uint64_t segment_id);
  // The worker is gone: ends all leases.
  void Clear();

 private:
  struct LateAnswer {
    zygote::Message message;
    shm::SegmentRef segment;  // null: denied
  };

  absl::Status CheckControl() const;
  absl::Status Lend(const shm::SegmentRef& segment, const zygote::Message& message);
  // Answers a request, now or when the control socket has room.
  absl::Status Answer(zygote::Message message, shm::SegmentRef segment);

  const zygote::WorkerName worker_;
  os::EventLoop* const loop_;
  zygote::ControlSocket* const control_;
  absl::flat_hash_map<uint64_t, shm::SegmentRef> leases_;
  bool asked_ = false;
  std::optional<LateAnswer> late_answer_;  // the control socket was full
};

}  // namespace prefork::pool

#endif  // PREFORK_SERVER_POOL_WORKER_SEGMENTS_H_
