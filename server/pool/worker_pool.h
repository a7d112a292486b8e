#ifndef PREFORK_SERVER_POOL_WORKER_POOL_H_
#define PREFORK_SERVER_POOL_WORKER_POOL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/os/event_loop.h"
#include "server/pool/oom_proof.h"
#include "server/pool/orphan_reaper.h"
#include "server/pool/pool_observer.h"
#include "server/pool/pool_spec.h"
#include "server/pool/worker.h"

namespace prefork::pool {

// What a pool needs of the daemon; nothing of it is owned, all of it outlives the pool.
struct PoolEnvironment {
  os::EventLoop* loop = nullptr;
  PoolObserver* observer = nullptr;
  OrphanReaper* orphans = nullptr;  // one for the whole daemon
  OomProof* oom_proof = nullptr;    // one for the whole daemon
  std::string worker_program;       // path of prefork-worker
};

// A pool's zygote and workers: starts, watches, paces, replaces and ends them. Lives on the event
// loop's thread. It keeps as many workers as its size says without being asked. Made of real
// processes by Create; the design note is in process_pool.cc.
class WorkerPool {
 public:
  // Starts nothing yet. A `spec.size` of 0 is replaced by what the CPU quota and affinity allow.
  static std::unique_ptr<WorkerPool> Create(const PoolSpec& spec,
                                            const PoolEnvironment& environment);
  // Kills what is still there without waiting; use Shutdown for an end without leftovers.
  virtual ~WorkerPool() = default;

  // The effective spec; `size` follows Resize.
  virtual const PoolSpec& spec() const = 0;
  virtual void Start() = 0;
  virtual void Resize(uint32_t size) = 0;
  // Keeps so many workers more than its size, for those that wait for other tasks.
  virtual void Lend(uint32_t workers) = 0;
  virtual uint32_t lent() const = 0;
  // A new zygote beside the old one; workers of the old one are replaced when idle (see
  // RetireWorker). If the new one can't be started the old one stays and degraded_reason() says
  // why.
  virtual void Reload() = 0;
  // Starts a worker beside the slots: either OnWorkerReady with dedicated_cookie() == cookie or
  // OnDedicatedFailed follows, later.
  virtual void StartDedicated(uint64_t cookie) = 0;
  // True when the pool wants the worker to retire: recycled and its replacement is ready, scaled
  // down, or its zygote died. Told by OnRetirementWanted.
  virtual bool WantsRetirement(const Worker& worker) const = 0;
  // The owner promises that `worker` has an empty lane and gets nothing any more: it is ended
  // politely, and killed if it does not follow. Also for workers whose retirement was not wanted;
  // they are replaced.
  virtual void RetireWorker(Worker& worker) = 0;
  // Counts finished tasks of the worker towards its recycling; checks its RSS when due.
  virtual void TasksDone(Worker& worker, uint64_t count) = 0;

  // Ends everything: SIGTERM, then after `grace` SIGKILL. `done` runs, later, when no process of
  // this pool is left. Once.
  virtual void Shutdown(absl::Duration grace, std::function<void()> done) = 0;

  // Workers can't be started; the pool goes on trying slowly.
  virtual bool degraded() const = 0;
  // Why, and what cures it. Also says why a reload failed while the pool goes on with its old
  // zygote; empty when all is well.
  virtual std::string degraded_reason() const = 0;
  virtual uint64_t failed_starts() const = 0;     // of zygotes; a failed reload counts
  virtual int32_t zygote_pid() const = 0;         // 0: not running
  virtual uint32_t starting() const = 0;          // workers of slots that are not ready yet
  virtual uint64_t unexpected_exits() const = 0;  // nobody asked for
  // name, TAB, description
  virtual const std::vector<std::string>& functions() const = 0;
  virtual const std::vector<Worker*>& workers() const = 0;  // forked and not exited
};

}  // namespace prefork::pool

#endif  // PREFORK_SERVER_POOL_WORKER_POOL_H_
