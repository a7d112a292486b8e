#include "server/engine/unused_pools.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"

namespace prefork::engine {

void UnusedPools::Note(PoolEntry& pool) {
  if (!pool.unused()) return;
  pool.unused_since_ns = core_->now_ns;
  next_ns_ = std::min(next_ns_, core_->now_ns + pool.idle_timeout_ns);
}

void UnusedPools::EndOverdue() {
  if (core_->now_ns < next_ns_) return;
  next_ns_ = INT64_MAX;
  for (const auto& [name, pool] : *pools_) {
    if (!pool->unused()) continue;
    const int64_t end_ns = pool->unused_since_ns + pool->idle_timeout_ns;
    if (end_ns <= core_->now_ns) {
      End(*pool, "it was not used for its idle_timeout");
    } else {
      next_ns_ = std::min(next_ns_, end_ns);
    }
  }
}

void UnusedPools::MakeRoom() {
  std::vector<PoolEntry*> unused;
  for (const auto& [name, pool] : *pools_) {
    if (pool->unused()) unused.push_back(pool.get());
  }
  std::sort(unused.begin(), unused.end(), [](const PoolEntry* a, const PoolEntry* b) {
    return a->unused_since_ns < b->unused_since_ns;
  });
  for (size_t i = 0; i + core_->options.max_unused_pools < unused.size(); ++i) {
    End(*unused[i], "it is unused, and there are more such pools than limits.unused_pools");
  }
}

void UnusedPools::End(PoolEntry& pool, const std::string& why) {
  core_->Log(log::Level::kInfo, absl::StrCat("pool ", pool.name, " ends: ", why));
  end_(pool);
}

}  // namespace prefork::engine
