#ifndef PREFORK_SERVER_ENGINE_UNUSED_POOLS_H_
#define PREFORK_SERVER_ENGINE_UNUSED_POOLS_H_

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "server/engine/core.h"
#include "server/engine/pool_entry.h"

namespace prefork::engine {

// Ends the pools with an idle_timeout that nobody uses: those whose time is over, and the longest
// unused when there are more than limits.unused_pools. A pool is unused while none of its tasks is
// unfinished.
class UnusedPools {
 public:
  // `end` deletes a pool. `core` and `pools` are not owned.
  UnusedPools(const Core* core, const PoolTable* pools, std::function<void(PoolEntry&)> end)
      : core_(core), pools_(pools), end_(std::move(end)) {}

  // The pool was made, or its last unfinished task has ended.
  void Note(PoolEntry& pool);
  // One more such pool is coming: ends those that are one too many.
  void MakeRoom();
  // Ends the pools whose time is over.
  void EndOverdue();
  // When EndOverdue has to look again: not after the first end of a pool that is unused now.
  int64_t next_ns() const { return next_ns_; }

 private:
  void End(PoolEntry& pool, const std::string& why);

  const Core* const core_;
  const PoolTable* const pools_;
  const std::function<void(PoolEntry&)> end_;
  int64_t next_ns_ = INT64_MAX;
};

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_UNUSED_POOLS_H_
