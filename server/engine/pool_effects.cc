// Orders about pools (PoolManager) and their effects.
//
//   order     at once                                   answered when
//   create    zygote started                            it exists
//   scale     pool resized                              that many workers of slots are ready, no more
//   pause     scheduler paused                          nothing unclaimed is left in a lane
//   resume    scheduler resumed, drain ended            at once
//   drain     submits refused                           nothing of it is unfinished
//   reload    new zygote                                no worker of before is left, size is reached
//   delete    submits refused, tasks cancelled,         no task and no process of it is left
//             processes ended
//
// Several orders may wait for one pool, each is looked at by itself.
#include "server/engine/pool_effects.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/engine/errors.h"

namespace prefork::engine {

OrderId PoolEffects::Add(PoolEntry& pool, PoolEffect::Kind kind, Done done) {
  PoolEffect effect;
  effect.id = next_order_++;
  effect.kind = kind;
  effect.done = std::move(done);
  if (kind == PoolEffect::Kind::kReloaded) {
    for (const pool::Worker* worker : pool.pool->workers()) {
      if (!worker->dedicated()) effect.old_workers.insert(worker->tag());
    }
    effect.old_reason = pool.pool->degraded_reason();
    effect.old_failures = pool.pool->failed_starts();
  }
  pool.effects.push_back(std::move(effect));
  pool.dirty = true;
  return pool.effects.back().id;
}

void PoolEffects::Cancel(OrderId order) {
  for (const auto& [name, pool] : *pools_) {
    std::erase_if(pool->effects, [order](const PoolEffect& effect) { return effect.id == order; });
  }
}

bool PoolEffects::IsScaled(const PoolEntry& pool) const {
  uint32_t ready = 0;
  for (pool::Worker* const worker : pool.pool->workers()) {
    if (worker->dedicated()) continue;
    const WorkerLink* const link = workers_->Find(worker->tag());
    if (link == nullptr || !link->ready || link->retiring || pool.pool->WantsRetirement(*worker)) {
      return false;
    }
    ++ready;
  }
  return ready == pool.spec().size + pool.pool->lent();
}

bool PoolEffects::IsReal(const PoolEntry& pool, const PoolEffect& effect,
                         absl::Status* failure) const {
  switch (effect.kind) {
    case PoolEffect::Kind::kScaled:
      return IsScaled(pool);
    case PoolEffect::Kind::kPaused:
      return true;  // what was unclaimed came back in the pass that is just over
    case PoolEffect::Kind::kDrained:
      return pool.unfinished == 0;
    case PoolEffect::Kind::kReloaded: {
      const std::string why = pool.pool->degraded_reason();
      // The same module may fail with the same words as before.
      const bool failed = pool.pool->failed_starts() != effect.old_failures ||
                          (!why.empty() && why != effect.old_reason);
      if (failed) {
        *failure = MakeError(absl::StatusCode::kUnavailable, reason::kInvalidPool,
                             absl::StrCat("pool \"", pool.name, "\" could not be reloaded: ", why),
                             pool.name);
        return true;
      }
      const std::vector<pool::Worker*>& workers = pool.pool->workers();
      return IsScaled(pool) && std::none_of(workers.begin(), workers.end(), [&](pool::Worker* w) {
               return effect.old_workers.contains(w->tag());
             });
    }
    case PoolEffect::Kind::kDeleted:
      return pool.processes_gone && pool.unfinished == 0;
  }
  return true;
}

bool PoolEffects::Settle(PoolEntry& pool) {
  std::vector<std::pair<Done, absl::StatusOr<PoolInfo>>> answers;
  std::erase_if(pool.effects, [&](PoolEffect& effect) {
    absl::Status failure;
    const bool dying = pool.deleting && effect.kind != PoolEffect::Kind::kDeleted;
    if (dying) {
      failure = MakeError(absl::StatusCode::kAborted, reason::kPoolDeleted,
                          absl::StrCat("pool \"", pool.name, "\" is being deleted"), pool.name);
    } else if (!IsReal(pool, effect, &failure)) {
      return false;
    }
    if (failure.ok()) {
      answers.emplace_back(std::move(effect.done), reporter_->Describe(pool));
    } else {
      answers.emplace_back(std::move(effect.done), failure);
    }
    return true;
  });
  // Answers may order again.
  for (auto& [done, answer] : answers) done(std::move(answer));
  return !answers.empty();
}

}  // namespace prefork::engine
