#ifndef PREFORK_SERVER_ENGINE_WORKER_TABLE_H_
#define PREFORK_SERVER_ENGINE_WORKER_TABLE_H_

#include <memory>

#include "absl/container/flat_hash_map.h"
#include "server/engine/worker_link.h"
#include "server/pool/worker.h"
#include "server/scheduler/types.h"

namespace prefork::engine {

// The workers by the scheduler's key, which is also the tag of the process. A key is never used
// again.
class WorkerTable {
 public:
  // Gives the worker the next key.
  WorkerLink& Add(scheduler::PoolKey pool, pool::Worker& worker) {
    const scheduler::WorkerKey key = next_key_++;
    worker.set_tag(key);
    return *links_.emplace(key, std::make_unique<WorkerLink>(key, pool, &worker)).first->second;
  }
  void Remove(scheduler::WorkerKey key) { links_.erase(key); }
  // Null when it is gone.
  WorkerLink* Find(scheduler::WorkerKey key) const {
    const auto it = links_.find(key);
    return it == links_.end() ? nullptr : it->second.get();
  }

 private:
  scheduler::WorkerKey next_key_ = 1;
  absl::flat_hash_map<scheduler::WorkerKey, std::unique_ptr<WorkerLink>> links_;
};

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_WORKER_TABLE_H_
