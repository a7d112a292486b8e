#ifndef PREFORK_SERVER_ENGINE_POOL_REPORTER_H_
#define PREFORK_SERVER_ENGINE_POOL_REPORTER_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "server/engine/core.h"
#include "server/engine/pool_entry.h"
#include "server/engine/types.h"
#include "server/engine/workers.h"

namespace prefork::engine {

// Says how pools are: to those who ask, to those who watch, and to whoever keeps the daemon's
// health.
class PoolReporter {
 public:
  // Nothing is owned.
  PoolReporter(Core* core, const PoolTable* pools, const Workers* workers)
      : core_(core), pools_(pools), workers_(workers) {}

  PoolInfo Describe(const PoolEntry& pool) const;
  std::vector<PoolInfo> DescribeAll() const;
  EventRecord DescribeEvent(const PoolEntry& pool) const;

  // Logs the pool's state if it is not what was said of it last. True: it was logged.
  bool Report(PoolEntry& pool);
  // `changed` is told how all pools are, now and on each call of TellReadiness.
  void SetReadinessListener(std::function<void(const std::vector<PoolInfo>&)> changed);
  void TellReadiness() const;

 private:
  PoolState StateOf(const PoolEntry& pool, std::string* reason) const;

  Core* const core_;
  const PoolTable* const pools_;
  const Workers* const workers_;
  std::function<void(const std::vector<PoolInfo>&)> readiness_;
};

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_POOL_REPORTER_H_
