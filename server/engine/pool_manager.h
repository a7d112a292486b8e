#ifndef PREFORK_SERVER_ENGINE_POOL_MANAGER_H_
#define PREFORK_SERVER_ENGINE_POOL_MANAGER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/engine/core.h"
#include "server/engine/pool_entry.h"
#include "server/engine/types.h"
#include "server/engine/workers.h"
#include "server/pool/worker_pool.h"

namespace prefork::engine {

// Makes a pool's processes; tests give a fake.
using PoolFactory = std::function<std::unique_ptr<pool::WorkerPool>(const pool::PoolSpec& spec,
                                                                    pool::PoolObserver* observer)>;

// The pools as their administrators see them: made, changed, watched and deleted. An order is
// answered when its effect is real, which is looked at after every pass that changed something.
class PoolManager {
 public:
  using Done = std::function<void(absl::StatusOr<PoolInfo>)>;

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

  void CancelOrder(OrderId order);

  PoolInfo Describe(const PoolEntry& pool) const;
  EventRecord DescribeEvent(const PoolEntry& pool) const;
  // A task of the pool ended.
  void OnTaskEnd(const TaskRecord& task);

  // Deletes the pools that nobody has used for their idle_timeout.
  void EndUnused();
  int64_t NextUnusedNs() const { return next_unused_ns_; }

  // After a pass: answers orders whose effect is real, logs changes of state, removes deleted
  // pools. True: something changed.
  bool Settle();
  void SetReadinessListener(std::function<void(const std::vector<PoolInfo>&)> changed);
  std::vector<PoolInfo> DescribeAll() const;

  // Ends all processes; Settle runs `done` when none is left.
  void ShutdownAll(std::function<void()> done);

 private:
  class Observer;

  absl::StatusOr<PoolEntry*> Find(const std::string& name) const;
  PoolEntry* FindOrFail(const std::string& name, const Done& done) const;
  OrderId AddEffect(PoolEntry& pool, PoolEffect::Kind kind, Done done);
  bool IsReal(const PoolEntry& pool, const PoolEffect& effect, absl::Status* failure) const;
  bool IsScaled(const PoolEntry& pool) const;
  bool SettleEffects(PoolEntry& pool);
  bool ReportState(PoolEntry& pool);
  PoolState StateOf(const PoolEntry& pool, std::string* reason) const;
  void LearnFunctions(PoolEntry& pool);
  void NoteUnused(PoolEntry& pool);
  void MakeRoomForUnused();
  void EndUnused(PoolEntry& pool, const std::string& why);
  void EndProcesses(PoolEntry& pool);

  Core* const core_;
  PoolTable* const pools_;
  Workers* const workers_;
  const PoolFactory factory_;
  std::function<void(const std::vector<PoolInfo>&)> readiness_;
  std::function<void()> shutdown_done_;
  // When EndUnused has to look again: not after the first end of a pool that is unused now.
  int64_t next_unused_ns_ = INT64_MAX;
  OrderId next_order_ = 1;
};

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_POOL_MANAGER_H_
