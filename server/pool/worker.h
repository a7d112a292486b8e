#ifndef PREFORK_SERVER_POOL_WORKER_H_
#define PREFORK_SERVER_POOL_WORKER_H_

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/shm/lane.h"
#include "common/shm/segment.h"
#include "server/pool/pool_spec.h"

namespace prefork::pool {

// One worker process as its owner sees it. Belongs to its pool and to the event loop's thread;
// named by index and generation, never by pid. Made of a real process by worker_process.h.
class Worker {
 public:
  virtual ~Worker() = default;

  virtual uint32_t index() const = 0;
  virtual uint32_t generation() const = 0;
  virtual int32_t pid() const = 0;
  virtual bool dedicated() const = 0;
  virtual uint64_t dedicated_cookie() const = 0;
  virtual bool ready() const = 0;
  virtual absl::Time started_at() const = 0;
  virtual shm::LaneOwner& lane() = 0;

  // Hands a segment over ahead of a task that names it. The worker holds a lease until
  // ReleaseSegment or its death. UNAVAILABLE: it does not read its control socket;
  // FAILED_PRECONDITION or ABORTED: it is ending; RESOURCE_EXHAUSTED: no memory or too many
  // descriptors on their way, which is not its fault.
  virtual absl::Status SendSegment(const shm::SegmentRef& segment) = 0;
  // The two answers to OnSegmentRequest, which is asked one at a time. The lease and the failures
  // are as above, but an answer that finds the control socket full is kept and goes out later.
  virtual absl::Status GrantSegment(const shm::SegmentRef& segment) = 0;
  virtual absl::Status DenySegment(uint64_t size_bytes, std::string_view why) = 0;
  // The lease of `segment_id`, or null when the worker has none: a worker may only name segments it
  // was given.
  virtual shm::SegmentRef FindSegment(uint64_t segment_id) const = 0;
  virtual void ReleaseSegment(uint64_t segment_id) = 0;

  // Sends a signal to every descendant of the worker, and to the worker itself only with
  // `include_worker`. Success when there is nobody (left) to signal.
  virtual absl::Status SignalTree(int signal, bool include_worker) = 0;
  // The worker was asked to stop by a signal: if its process ends from now on, that was for `reason`
  // and nobody's fault. The first reason counts.
  virtual void ExpectEnd(ExitReason reason, std::string_view detail) = 0;
  // SIGKILL to the whole tree; OnWorkerExited follows later with `reason`. The first reason counts.
  virtual void Kill(ExitReason reason, std::string_view detail) = 0;

  // The owner's word for it (the scheduler's WorkerKey); opaque here.
  uint32_t tag() const { return tag_; }
  void set_tag(uint32_t tag) { tag_ = tag; }

 private:
  uint32_t tag_ = 0;
};

}  // namespace prefork::pool

#endif  // PREFORK_SERVER_POOL_WORKER_H_
