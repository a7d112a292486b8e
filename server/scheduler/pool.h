#ifndef PREFORK_SERVER_SCHEDULER_POOL_H_
#define PREFORK_SERVER_SCHEDULER_POOL_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "server/scheduler/lane_depth.h"
#include "server/scheduler/ready_queue.h"
#include "server/scheduler/scheduler.h"
#include "server/scheduler/task_table.h"
#include "server/scheduler/types.h"
#include "server/scheduler/workers.h"

namespace prefork::scheduler {

// Everything that belongs to one pool. Lives until it is removed and its last task and worker are
// gone.
struct Pool {
  Pool(PoolKey pool_key, const PoolLimits& pool_limits, TaskTable* tasks, FlowTable* flows,
       Slab<Worker>* all_workers)
      : key(pool_key),
        limits(pool_limits),
        ready(tasks, flows),
        ready_dedicated(tasks, flows),
        depth(limits.lane_target_ns, limits.max_lane_depth),
        open(all_workers, std::max(limits.max_lane_depth, 1U)) {}

  const PoolKey key;
  const PoolLimits limits;
  bool paused = false;
  bool removed = false;
  bool changed = false;  // something may have become possible since the last TakeActions
  size_t live = 0;       // tasks not yet terminal
  std::array<size_t, 4> in_state = {};  // of them, by state
  ReadyQueue ready;
  ReadyQueue ready_dedicated;
  LaneDepth depth;
  OpenWorkers open;
  absl::btree_set<std::pair<int64_t, uint32_t>> resting;  // workers, by the end of their rest
  std::vector<uint32_t> workers;                          // all of them, by index
  std::vector<uint32_t> reserved;  // dedicated workers whose task is not in their lane yet
  uint32_t dedicated_in_use = 0;   // starting or alive
};

}  // namespace prefork::scheduler

#endif  // PREFORK_SERVER_SCHEDULER_POOL_H_
