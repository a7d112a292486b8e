#ifndef PREFORK_SERVER_ENGINE_POOL_MANAGER_H_
#define PREFORK_SERVER_ENGINE_POOL_MANAGER_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "server/engine/core.h"
#include "server/engine/pool_effects.h"
#include "server/engine/pool_entry.h"
#include "server/engine/pool_reporter.h"
#include "server/engine/types.h"
#include "server/engine/unused_pools.h"
#include "server/engine/workers.h"
#include "server/pool/worker_pool.h"

namespace prefork::engine {

// Makes a pool's processes; tests give a fake.
using PoolFactory = std::function<std::unique_ptr<pool::WorkerPool>(const pool::PoolSpec& spec,
                                                                    pool::PoolObserver* observer)>;

// The pools as their administrators see them: made, changed, watched and deleted. An order is
// answered when its effect is real (pool_effects.h), which is looked at after every pass that changed
// something.
class PoolManager {
 public:
  using Done = PoolEffects::Done;

  // Nothing is owned but the factory.
  PoolManager(Core* core, PoolTable* pools, Workers* workers, PoolFactory factory);
  ~PoolManager();

  absl::StatusOr<PoolInfo> Create(const pool::PoolSpec& spec);
  // These return 0 when `done` ran already.
  OrderId Scale(const std::string& name, uint32_t size, Done done);
  OrderId Pause(const std::string& name, bool paused, Done done);
  OrderId Drain(const std::string& name, Done done);
  OrderId Reload(const std::string& name, Done done);
  OrderId Delete(const std::string& name, bool force, Done done);

  void CancelOrder(OrderId order) { effects_.Cancel(order); }

  PoolInfo Describe(const PoolEntry& pool) const { return reporter_.Describe(pool); }
  std::vector<PoolInfo> DescribeAll() const { return reporter_.DescribeAll(); }
  EventRecord DescribeEvent(const PoolEntry& pool) const { return reporter_.DescribeEvent(pool); }
  // A task of the pool ended.
  void OnTaskEnd(const TaskRecord& task);

  // Deletes the pools that nobody has used for their idle_timeout.
  void EndUnused() { unused_.EndOverdue(); }
  int64_t NextUnusedNs() const { return unused_.next_ns(); }

  // After a pass: answers orders whose effect is real, logs changes of state, removes deleted
  // pools. True: something changed.
  bool Settle();
  void SetReadinessListener(std::function<void(const std::vector<PoolInfo>&)> changed) {
    reporter_.SetReadinessListener(std::move(changed));
  }

  // Ends all processes; Settle runs `done` when none is left.
  void ShutdownAll(std::function<void()> done);

 private:
  class Observer;

  absl::StatusOr<PoolEntry*> Find(const std::string& name) const;
  PoolEntry* FindOrFail(const std::string& name, const Done& done) const;
  void LearnFunctions(PoolEntry& pool);
  void EndProcesses(PoolEntry& pool);

  Core* const core_;
  PoolTable* const pools_;
  Workers* const workers_;
  const PoolFactory factory_;
  PoolReporter reporter_;
  PoolEffects effects_;
  UnusedPools unused_;
  std::function<void()> shutdown_done_;
};

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_POOL_MANAGER_H_
