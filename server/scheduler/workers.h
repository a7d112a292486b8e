#ifndef PREFORK_SERVER_SCHEDULER_WORKERS_H_
#define PREFORK_SERVER_SCHEDULER_WORKERS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "server/scheduler/slab.h"
#include "server/scheduler/task_table.h"
#include "server/scheduler/types.h"

namespace prefork::scheduler {

struct Pool;

struct Worker {
  WorkerKey key = kNone;
  Pool* pool = nullptr;  // not owned; outlives the worker
  TaskList lane;         // in the order in which the worker takes them
  uint32_t lane_size = 0;
  int64_t moved_ns = 0;  // when the lane last moved: a first entry came, or a task finished
  uint32_t previous = kNone, next = kNone;  // among the open workers with as much in their lanes
  uint32_t place = kNone;                   // that number; kNone: not open
  TaskSlot reserved_for = kNone;            // dedicated: the task that it waits to be given
  uint32_t pool_position = 0;               // in Pool::workers
  uint16_t stopping = 0;                    // tasks in its lane that have to end
  bool dedicated = false;
  bool retiring = false;
  bool dying = false;        // its kill is ordered
  bool slow = false;         // nothing more until its lane moves
  bool watched = false;      // its lane would be noticed if it stood still
  bool report_idle = false;  // its lane became empty since the last TakeActions
  bool resting = false;      // in Pool::resting
  int64_t rest_end_ns = 0;   // while it rests
  int64_t rest_ns = 0;       // how long its last rest was; 0: it took what it was given since
};

// The workers of a pool that may be given a task, by how much they have: the one with the least
// first, and among equals the one that came last, whose caches are warm.
class OpenWorkers {
 public:
  // `workers` is not owned. `max_depth`: no lane is longer.
  OpenWorkers(Slab<Worker>* workers, uint32_t max_depth)
      : workers_(workers), first_(size_t{max_depth} + 1, kNone) {}

  // Files worker `index` under `place` entries, or takes it out for kNone.
  void Update(uint32_t index, uint32_t place);

  // kNone if there is none.
  uint32_t Least();

  size_t idle() const { return idle_; }
  void CheckInvariants() const;

 private:
  Slab<Worker>* workers_;
  std::vector<uint32_t> first_;  // by place
  uint32_t least_ = 0;           // no place below it is taken
  size_t idle_ = 0;              // at place 0
};

}  // namespace prefork::scheduler

#endif  // PREFORK_SERVER_SCHEDULER_WORKERS_H_
