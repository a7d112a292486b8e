#ifndef PREFORK_SERVER_POOL_POOL_OBSERVER_H_
#define PREFORK_SERVER_POOL_POOL_OBSERVER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/log/logger.h"
#include "server/pool/pool_spec.h"
#include "server/pool/worker.h"

namespace prefork::pool {

// How a worker process ended, once everything about it is known.
struct WorkerExit {
  ExitReason reason = ExitReason::kNone;
  std::optional<int> wait_status;  // unset: lost (its zygote died with it)
  bool out_of_memory = false;      // proven by the kernel's counters; never guessed
  absl::Duration cpu_time;         // of the process and the children it waited for
  uint64_t peak_rss_bytes = 0;
  std::string detail;  // one sentence for people
};

// What a pool tells its owner; all on the event loop's thread. `worker` stays valid until
// OnWorkerExited returns. Every method of pool and worker may be called from inside, but the pool
// must not be destroyed there.
class PoolObserver {
 public:
  virtual ~PoolObserver() = default;
  // Forked. Exactly one OnWorkerExited follows for each.
  virtual void OnWorkerStarting(Worker& worker) = 0;
  // It mapped its lane: tasks are welcome.
  virtual void OnWorkerReady(Worker& worker) = 0;
  // WantsRetirement(worker) has become true: feed it no more, and RetireWorker once its lane is
  // empty.
  virtual void OnRetirementWanted(Worker& worker) = 0;
  // The up queue has something. Also called once before OnWorkerExited, when nothing can be added
  // any more.
  virtual void OnLaneReadable(Worker& worker) = 0;
  // Bytes from the worker's stdout (1) or stderr (2) and the task they belong to (0: none).
  virtual void OnOutput(Worker& worker, int stream, uint64_t task_id, std::string_view bytes) = 0;
  // A worker asks for room for a large value; answer with Worker::GrantSegment or DenySegment.
  virtual void OnSegmentRequest(Worker& worker, uint64_t size_bytes) = 0;
  // Its process, and whatever it had started, is gone; reaped. The lane has been drained through
  // OnLaneReadable.
  virtual void OnWorkerExited(Worker& worker, const WorkerExit& exit) = 0;
  // A dedicated worker could not be started; if it had been forked, after its OnWorkerExited.
  virtual void OnDedicatedFailed(uint64_t cookie, const absl::Status& why) = 0;
  // Zygote started/died, degraded, cured, functions learnt, size changed: read the pool's getters.
  virtual void OnPoolChanged() = 0;
  // One line for the daemon's log: what a zygote wrote (any bytes), or what the pool did about it.
  virtual void OnPoolMessage(log::Level level, std::string_view line) = 0;
};

}  // namespace prefork::pool

#endif  // PREFORK_SERVER_POOL_POOL_OBSERVER_H_
