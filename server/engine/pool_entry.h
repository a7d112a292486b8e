#ifndef PREFORK_SERVER_ENGINE_POOL_ENTRY_H_
#define PREFORK_SERVER_ENGINE_POOL_ENTRY_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "server/engine/types.h"
#include "server/pool/worker_pool.h"
#include "server/scheduler/types.h"

namespace prefork::engine {

// A change of a pool that somebody waits for.
struct PoolEffect {
  enum class Kind : uint8_t { kScaled, kPaused, kDrained, kReloaded, kDeleted };
  OrderId id = 0;
  Kind kind = Kind::kScaled;
  std::function<void(absl::StatusOr<PoolInfo>)> done;
  // kReloaded: the workers that have to be gone, what was wrong before, and how often zygotes had
  // failed.
  absl::flat_hash_set<scheduler::WorkerKey> old_workers;
  std::string old_reason;
  uint64_t old_failures = 0;
};

// One pool: its processes and what the engine keeps about it.
struct PoolEntry {
  scheduler::PoolKey key = 0;
  std::string name;
  std::unique_ptr<pool::PoolObserver> observer;
  std::unique_ptr<pool::WorkerPool> pool;
  absl::flat_hash_set<std::string> functions;  // offered by its zygote; empty: not known
  std::vector<PoolEffect> effects;

  bool paused = false;
  bool draining = false;
  bool deleting = false;
  bool ending = false;          // its processes are being ended
  bool processes_gone = false;  // they are
  bool was_ready = false;
  bool dirty = true;  // its state may have changed

  uint64_t unfinished = 0;  // tasks
  // With an idle_timeout: how long the pool may be unused, and since when it is when nothing is
  // unfinished. INT64_MAX: for ever.
  int64_t idle_timeout_ns = INT64_MAX;
  int64_t unused_since_ns = 0;
  uint64_t finished = 0;
  uint64_t queued_bytes = 0;  // payloads of the unfinished, less what clients lend

  // What the last pool event said.
  PoolState reported_state = PoolState::kDeleted;
  std::string reported_reason;
  uint32_t reported_size = 0;

  // Is it unused, and one that ends for that?
  bool unused() const {
    return idle_timeout_ns != INT64_MAX && unfinished == 0 && !deleting && !ending;
  }

  const pool::PoolSpec& spec() const { return pool->spec(); }
};

// The pools by name and by key. A key is never used again; a name may be.
class PoolTable {
 public:
  PoolEntry& Add(const std::string& name, scheduler::PoolKey key) {
    auto entry = std::make_unique<PoolEntry>();
    entry->key = key;
    entry->name = name;
    if (by_key_.size() <= key) by_key_.resize(key + 1, nullptr);
    by_key_[key] = entry.get();
    return *(by_name_[name] = std::move(entry));
  }
  void Remove(scheduler::PoolKey key) {
    const std::string name = by_key_[key]->name;
    by_key_[key] = nullptr;
    by_name_.erase(name);
  }
  void Clear() {
    by_key_.clear();
    by_name_.clear();
  }
  PoolEntry* Find(const std::string& name) const {
    const auto it = by_name_.find(name);
    return it == by_name_.end() ? nullptr : it->second.get();
  }
  PoolEntry* At(scheduler::PoolKey key) const {
    return key < by_key_.size() ? by_key_[key] : nullptr;
  }
  size_t size() const { return by_name_.size(); }
  // "a, b, c", for messages.
  std::string Names() const {
    std::string names;
    for (const auto& [name, entry] : by_name_) names += (names.empty() ? "" : ", ") + name;
    return names.empty() ? "none" : names;
  }
  // Sorted by name.
  auto begin() const { return by_name_.begin(); }
  auto end() const { return by_name_.end(); }

 private:
  absl::btree_map<std::string, std::unique_ptr<PoolEntry>> by_name_;
  std::vector<PoolEntry*> by_key_;
};

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_POOL_ENTRY_H_
