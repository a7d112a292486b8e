#ifndef PREFORK_SERVER_ENGINE_WORKER_LINK_H_
#define PREFORK_SERVER_ENGINE_WORKER_LINK_H_

#include <cstddef>
#include <cstdint>
#include <optional>

#include "common/shm/queue.h"
#include "server/engine/ring.h"
#include "server/engine/task_record.h"
#include "server/pool/worker.h"
#include "server/scheduler/action.h"
#include "server/scheduler/types.h"

namespace prefork::engine {

// A task that was put into a worker's lane and whose end is not known.
struct InFlight {
  TaskSlot slot = kNone;  // kNone: revoked, or done
  uint32_t attempt = 0;
  TaskId id = 0;
  shm::RecordPosition position;
  uint64_t segment_id = 0;  // of the payload; 0: inline
  bool started = false;     // announced
};

// A worker as the engine sees it: the process, and what is in its lane in the order in which the
// worker meets it. The record of an assignment is here before the worker can see the task.
class WorkerLink {
 public:
  // `worker` is not owned and outlives this.
  WorkerLink(scheduler::WorkerKey key, scheduler::PoolKey pool, pool::Worker* worker)
      : key(key), pool(pool), worker(worker) {}

  // Call before the record is published.
  InFlight& Add(InFlight entry);
  // The oldest task whose end is not known; null when there is none.
  InFlight* Front();
  // Where `slot` is; null when it is not in the lane.
  InFlight* Find(TaskSlot slot);
  // The one task that the worker has claimed and not finished; kNone: it has none.
  TaskSlot Running() const;
  // It was revoked or is done.
  void Remove(InFlight* entry);
  // Is the segment the payload of a task in the lane?
  bool HoldsSegment(uint64_t segment_id) const;
  // The task that named the segment is out of the lane: ends the lease unless another one needs it.
  void DropSegment(uint64_t segment_id);
  // Tasks in the lane.
  size_t depth() const { return depth_; }

  // Calls `visit(const InFlight&)` for each, oldest first. `visit` must not change the link.
  template <typename Visit>
  void ForEach(Visit visit) const {
    for (size_t i = 0; i < entries_.size(); ++i) {
      if (entries_[i].slot != kNone) visit(entries_[i]);
    }
  }

  const scheduler::WorkerKey key;
  const scheduler::PoolKey pool;
  pool::Worker* const worker;
  uint64_t tasks_done = 0;
  int client_signal = 0;  // the last one that a client had sent to its process
  bool ready = false;
  bool retiring = false;
  bool poisoned = false;       // it wrote nonsense: nothing more is read from its lane
  bool unpublished = false;    // records were committed since the last publish
  bool active = false;         // its up queue is looked at in every pass
  bool announced = false;      // its up queue knows that the engine does not look
  bool busy_reported = false;  // the last worker event said BUSY
  bool change_noted = false;   // may have become busy or idle since

  // A dispatch to an empty lane that is tried again (see dispatcher.cc).
  std::optional<scheduler::Action> held;
  int64_t full_since_ns = 0;  // since when nothing fits into the empty lane; 0: something did

 private:
  void Trim();

  Ring<InFlight> entries_;
  size_t depth_ = 0;
};

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_WORKER_LINK_H_
