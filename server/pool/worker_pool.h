#ifndef PREFORK_SERVER_POOL_WORKER_POOL_H_
#define PREFORK_SERVER_POOL_WORKER_POOL_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/os/event_loop.h"
#include "common/shm/lane.h"
#include "common/shm/segment.h"
#include "server/pool/pool_spec.h"

namespace prefork::pool {

class Worker;

// How a worker process ended, once everything about it is known.
struct WorkerExit {
  ExitReason reason = ExitReason::kNone;
  std::optional<int> wait_status;  // unset: lost (its zygote died with it)
  bool out_of_memory = false;      // proven by cgroup counters or kernel log; never guessed
  absl::Duration cpu_time;
  uint64_t peak_rss_bytes = 0;
  std::string detail;              // one sentence for people
};

// What the pool tells its owner; all on the event loop's thread. `worker` stays valid until OnWorkerExited returns.
class PoolObserver {
 public:
  virtual ~PoolObserver() = default;
  virtual void OnWorkerStarting(Worker& worker) = 0;  // forked
  virtual void OnWorkerReady(Worker& worker) = 0;     // mapped its lane: tasks are welcome
  // The up queue has something. Also called once before OnWorkerExited, when nothing can be added any more.
  virtual void OnLaneReadable(Worker& worker) = 0;
  // Bytes from the worker's stdout (1) or stderr (2) and the task they belong to (0: none).
  virtual void OnOutput(Worker& worker, int stream, uint64_t task_id, std::string_view bytes) = 0;
  // A worker asks for room for a large value; answer with Worker::GrantSegment or DenySegment.
  virtual void OnSegmentRequest(Worker& worker, uint64_t size_bytes) = 0;
  // Its process, and whatever it had started, is gone; reaped. The lane has been drained through OnLaneReadable.
  virtual void OnWorkerExited(Worker& worker, const WorkerExit& exit) = 0;
  // A dedicated worker could not be started.
  virtual void OnDedicatedFailed(uint64_t cookie, const absl::Status& why) = 0;
  // Zygote started/died, degraded, cured, functions learnt: read the pool's getters.
  virtual void OnPoolChanged() = 0;
};

// One worker process as the daemon sees it. Owned by its pool.
class Worker {
 public:
  uint32_t index() const;
  uint32_t generation() const;
  int32_t pid() const;
  bool dedicated() const;
  uint64_t dedicated_cookie() const;
  bool ready() const;
  absl::Time started_at() const;
  shm::LaneOwner& lane();

  // Hands a segment over ahead of a task that names it. The worker holds a lease until ReleaseSegment or its death.
  absl::Status SendSegment(const shm::SegmentRef& segment);
  // The two answers to OnSegmentRequest, which is asked one at a time. The lease is as above.
  absl::Status GrantSegment(const shm::SegmentRef& segment);
  absl::Status DenySegment(uint64_t size_bytes, std::string_view why);
  // The lease of `segment_id`, or null when the worker has none: a worker may only name segments it was given.
  shm::SegmentRef FindSegment(uint64_t segment_id) const;
  void ReleaseSegment(uint64_t segment_id);

  // SIGTERM (or another signal) to its process group and every descendant; not to the worker itself unless
  // `include_worker`.
  absl::Status SignalTree(int signal, bool include_worker);
  // SIGKILL to the whole tree; OnWorkerExited follows with `reason`.
  void Kill(ExitReason reason, std::string_view detail);

  // The owner's word for it (the scheduler's WorkerKey); opaque here.
  uint32_t tag() const;
  void set_tag(uint32_t tag);
};

struct PoolEnvironment {
  os::EventLoop* loop = nullptr;                   // not owned
  PoolObserver* observer = nullptr;                // not owned
  std::string worker_program;                      // path of prefork-worker
};

// A pool's zygote and workers: starts, watches, paces, replaces and ends them. Lives on the event loop's thread.
// It keeps as many workers as its size says without being asked; the design note is in worker_pool.cc.
class WorkerPool {
 public:
  static std::unique_ptr<WorkerPool> Create(const PoolSpec& spec, const PoolEnvironment& environment);
  virtual ~WorkerPool();

  const PoolSpec& spec() const;
  void Start();
  void Resize(uint32_t size);
  // A new zygote beside the old one; workers of the old one are replaced when idle (see RetireWorker).
  void Reload();
  // Starts a worker beside the slots; OnWorkerReady with dedicated_cookie() == cookie, or OnDedicatedFailed.
  void StartDedicated(uint64_t cookie);
  // The owner promises that `worker` has an empty lane and gets nothing any more: it is ended politely. When the
  // pool wants a worker to retire (recycled, scaled down, old zygote) it says so in WantsRetirement; the owner stops feeding
  // it and calls this. A replacement is forked as soon as WantsRetirement turns true, and is ready before.
  bool WantsRetirement(const Worker& worker) const;
  void RetireWorker(Worker& worker);
  // Counts a finished task of the worker towards its recycling; checks age and RSS when due.
  void TasksDone(Worker& worker, uint64_t count);

  // Ends everything: SIGTERM, then after `grace` SIGKILL. `done` runs when no process of this pool is left.
  void Shutdown(absl::Duration grace, std::function<void()> done);

  bool degraded() const;
  std::string degraded_reason() const;  // why, and what cures it
  int32_t zygote_pid() const;
  uint32_t starting() const;
  uint64_t unexpected_exits() const;
  // name, TAB, description
  const std::vector<std::string>& functions() const;
  const std::vector<Worker*>& workers() const;  // all that are not exited
};

}  // namespace prefork::pool

#endif  // PREFORK_SERVER_POOL_WORKER_POOL_H_
