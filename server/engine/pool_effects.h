#ifndef PREFORK_SERVER_ENGINE_POOL_EFFECTS_H_
#define PREFORK_SERVER_ENGINE_POOL_EFFECTS_H_

#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/engine/pool_entry.h"
#include "server/engine/pool_reporter.h"
#include "server/engine/types.h"
#include "server/engine/workers.h"

namespace prefork::engine {

// The changes of pools that somebody waits for, each answered when it is real. The design note is in
// pool_effects.cc.
class PoolEffects {
 public:
  using Done = std::function<void(absl::StatusOr<PoolInfo>)>;

  // Nothing is owned.
  PoolEffects(const PoolTable* pools, const Workers* workers, const PoolReporter* reporter)
      : pools_(pools), workers_(workers), reporter_(reporter) {}

  // The order was given; `done` is called from Settle. Of a reload, before it begins.
  OrderId Add(PoolEntry& pool, PoolEffect::Kind kind, Done done);
  // Nobody waits any more; the change goes on.
  void Cancel(OrderId order);
  // Answers what is real now, or never will be. True: there was something.
  bool Settle(PoolEntry& pool);

 private:
  bool IsReal(const PoolEntry& pool, const PoolEffect& effect, absl::Status* failure) const;
  bool IsScaled(const PoolEntry& pool) const;

  const PoolTable* const pools_;
  const Workers* const workers_;
  const PoolReporter* const reporter_;
  OrderId next_order_ = 1;
};

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_POOL_EFFECTS_H_
