// Orders about pools and their effects.
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
// Several orders may wait for one pool, each is looked at by itself. A pool is destroyed between
// passes only, never inside one of its own calls.
#include "server/engine/pool_manager.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/text/views.h"
#include "server/engine/errors.h"
#include "server/engine/task_check.h"
#include "server/pool/pool_spec.h"

namespace prefork::engine {
namespace {

absl::Status CheckName(const std::string& name) {
  if (pool::IsPoolName(name)) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument, reason::kInvalidPool,
                   absl::StrCat("\"", name, "\" can't be the name of a pool: ",
                                text::ToAbsl(pool::kPoolNameRule)));
}

absl::Status CheckSize(uint32_t size) {
  if (size <= pool::kMaxPoolSize) return absl::OkStatus();
  return MakeError(
      absl::StatusCode::kInvalidArgument, reason::kInvalidPool,
      absl::StrCat("a size of ", size, " workers; at most ", pool::kMaxPoolSize, " are allowed"));
}

}  // namespace

// Hands what one pool tells to those it concerns, with the pool's entry.
class PoolManager::Observer : public pool::PoolObserver {
 public:
  Observer(const Core* core, Workers* workers, PoolEntry* pool)
      : core_(core), workers_(workers), pool_(pool) {}

  void OnWorkerStarting(pool::Worker& worker) override { workers_->OnStarting(*pool_, worker); }
  void OnWorkerReady(pool::Worker& worker) override { workers_->OnReady(*pool_, worker); }
  void OnRetirementWanted(pool::Worker& worker) override { workers_->OnRetirementWanted(worker); }
  void OnLaneReadable(pool::Worker& worker) override { workers_->OnLaneReadable(worker); }
  void OnOutput(pool::Worker& worker, int stream, uint64_t task_id,
                std::string_view bytes) override {
    workers_->OnOutput(*pool_, worker, stream, task_id, bytes);
  }
  void OnSegmentRequest(pool::Worker& worker, uint64_t size_bytes) override {
    workers_->OnSegmentRequest(worker, size_bytes);
  }
  void OnWorkerExited(pool::Worker& worker, const pool::WorkerExit& exit) override {
    workers_->OnExited(*pool_, worker, exit);
  }
  void OnDedicatedFailed(uint64_t cookie, const absl::Status& why) override {
    workers_->OnDedicatedFailed(cookie, why);
  }
  void OnPoolChanged() override { pool_->dirty = true; }
  void OnPoolMessage(log::Level level, std::string_view line) override { core_->Log(level, line); }

 private:
  const Core* const core_;
  Workers* const workers_;
  PoolEntry* const pool_;
};

PoolManager::PoolManager(Core* core, PoolTable* pools, Workers* workers, PoolFactory factory)
    : core_(core), pools_(pools), workers_(workers), factory_(std::move(factory)) {}

PoolManager::~PoolManager() = default;

absl::StatusOr<PoolEntry*> PoolManager::Find(const std::string& name) const {
  PoolEntry* const pool = pools_->Find(name);
  if (pool == nullptr) return NoSuchPool(name, *pools_);
  return pool;
}

// Answers the order itself when there is no such pool, or not for long.
PoolEntry* PoolManager::FindOrFail(const std::string& name, const Done& done) const {
  const absl::StatusOr<PoolEntry*> pool = Find(name);
  if (!pool.ok()) {
    done(pool.status());
    return nullptr;
  }
  if ((*pool)->deleting) {
    done(MakeError(absl::StatusCode::kFailedPrecondition, reason::kPoolDeleted,
                   absl::StrCat("pool \"", name, "\" is being deleted"), name));
    return nullptr;
  }
  return *pool;
}

OrderId PoolManager::AddEffect(PoolEntry& pool, PoolEffect::Kind kind, Done done) {
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

void PoolManager::CancelOrder(OrderId order) {
  for (const auto& [name, pool] : *pools_) {
    std::erase_if(pool->effects, [order](const PoolEffect& effect) { return effect.id == order; });
  }
}

absl::StatusOr<PoolInfo> PoolManager::Create(const pool::PoolSpec& spec) {
  if (absl::Status status = CheckName(spec.name); !status.ok()) return status;
  if (absl::Status status = CheckSize(spec.size); !status.ok()) return status;
  if (const PoolEntry* const old = pools_->Find(spec.name); old != nullptr && old->deleting) {
    return MakeError(absl::StatusCode::kAborted, reason::kPoolDeleted,
                     absl::StrCat("a pool named \"", spec.name,
                                  "\" is just being deleted; try again in a moment"),
                     spec.name);
  }
  if (pools_->Find(spec.name) != nullptr) {
    return MakeError(absl::StatusCode::kAlreadyExists, reason::kPoolExists,
                     absl::StrCat("a pool named \"", spec.name, "\" exists already"), spec.name);
  }
  if (pools_->size() >= core_->options.max_pools) {
    return MakeError(absl::StatusCode::kResourceExhausted, reason::kTooManyPools,
                     absl::StrCat("there are ", pools_->size(),
                                  " pools, the limit (limits.pools); delete one first"));
  }
  const auto key = static_cast<scheduler::PoolKey>(core_->pool_names.size());
  core_->pool_names.push_back(spec.name);
  PoolEntry& pool = pools_->Add(spec.name, key);
  pool.observer = std::make_unique<Observer>(core_, workers_, &pool);
  pool.pool = factory_(spec, pool.observer.get());
  scheduler::PoolLimits limits;
  limits.max_queued = spec.max_queued_tasks;
  limits.max_dedicated = spec.max_dedicated;
  core_->scheduler.AddPool(key, limits);
  if (spec.idle_timeout != absl::InfiniteDuration()) {
    MakeRoomForUnused();
    const int64_t timeout_ns = absl::ToInt64Nanoseconds(spec.idle_timeout);
    if (timeout_ns < INT64_MAX / 2) pool.idle_timeout_ns = timeout_ns;  // else some centuries
    NoteUnused(pool);
  }
  pool.pool->Start();
  return Describe(pool);
}

OrderId PoolManager::Scale(const std::string& name, uint32_t size, Done done) {
  PoolEntry* const pool = FindOrFail(name, done);
  if (pool == nullptr) return 0;
  absl::Status status = CheckSize(size);
  if (size == 0) {
    status = MakeError(absl::StatusCode::kInvalidArgument, reason::kInvalidPool,
                       "a size of 0 workers; pause the pool to stop it", name);
  }
  if (!status.ok()) {
    done(status);
    return 0;
  }
  pool->pool->Resize(size);
  return AddEffect(*pool, PoolEffect::Kind::kScaled, std::move(done));
}

OrderId PoolManager::Pause(const std::string& name, bool paused, Done done) {
  PoolEntry* const pool = FindOrFail(name, done);
  if (pool == nullptr) return 0;
  pool->paused = paused;
  if (!paused) pool->draining = false;
  core_->scheduler.SetPaused(pool->key, paused, core_->now_ns);
  return AddEffect(*pool, PoolEffect::Kind::kPaused, std::move(done));
}

OrderId PoolManager::Drain(const std::string& name, Done done) {
  PoolEntry* const pool = FindOrFail(name, done);
  if (pool == nullptr) return 0;
  pool->draining = true;
  return AddEffect(*pool, PoolEffect::Kind::kDrained, std::move(done));
}

OrderId PoolManager::Reload(const std::string& name, Done done) {
  PoolEntry* const pool = FindOrFail(name, done);
  if (pool == nullptr) return 0;
  const OrderId order = AddEffect(*pool, PoolEffect::Kind::kReloaded, std::move(done));
  pool->pool->Reload();
  return order;
}

OrderId PoolManager::Delete(const std::string& name, bool force, Done done) {
  PoolEntry* const pool = FindOrFail(name, done);
  if (pool == nullptr) return 0;
  if (pool->unfinished > 0 && !force) {
    done(MakeError(absl::StatusCode::kFailedPrecondition, reason::kPoolBusy,
                   absl::StrCat("pool \"", name, "\" has ", pool->unfinished,
                                " unfinished tasks; drain it first, or force the deletion to "
                                "cancel them"),
                   name));
    return 0;
  }
  pool->deleting = true;
  core_->scheduler.RemovePool(pool->key, core_->now_ns);
  return AddEffect(*pool, PoolEffect::Kind::kDeleted, std::move(done));
}

void PoolManager::EndProcesses(PoolEntry& pool) {
  if (std::exchange(pool.ending, true)) return;
  pool.pool->Shutdown(pool.spec().task_grace, [entry = &pool] {
    entry->processes_gone = true;
    entry->dirty = true;
  });
}

void PoolManager::OnTaskEnd(const TaskRecord& task) {
  PoolEntry* const pool = pools_->At(task.pool);
  if (pool == nullptr) return;
  --pool->unfinished;
  ++pool->finished;
  pool->queued_bytes -= task.payload.owned_bytes();
  if (pool->unfinished > 0) return;
  pool->dirty |= !pool->effects.empty();
  NoteUnused(*pool);
}

// --- pools that nobody uses ---

void PoolManager::NoteUnused(PoolEntry& pool) {
  if (!pool.unused()) return;
  pool.unused_since_ns = core_->now_ns;
  next_unused_ns_ = std::min(next_unused_ns_, core_->now_ns + pool.idle_timeout_ns);
}

void PoolManager::EndUnused() {
  if (core_->now_ns < next_unused_ns_) return;
  next_unused_ns_ = INT64_MAX;
  for (const auto& [name, pool] : *pools_) {
    if (!pool->unused()) continue;
    const int64_t end_ns = pool->unused_since_ns + pool->idle_timeout_ns;
    if (end_ns <= core_->now_ns) {
      EndUnused(*pool, "it was not used for its idle_timeout");
    } else {
      next_unused_ns_ = std::min(next_unused_ns_, end_ns);
    }
  }
}

void PoolManager::MakeRoomForUnused() {
  std::vector<PoolEntry*> unused;
  for (const auto& [name, pool] : *pools_) {
    if (pool->unused()) unused.push_back(pool.get());
  }
  std::sort(unused.begin(), unused.end(), [](const PoolEntry* a, const PoolEntry* b) {
    return a->unused_since_ns < b->unused_since_ns;
  });
  for (size_t i = 0; i + core_->options.max_unused_pools < unused.size(); ++i) {
    EndUnused(*unused[i], "it is unused, and there are more such pools than limits.unused_pools");
  }
}

void PoolManager::EndUnused(PoolEntry& pool, const std::string& why) {
  core_->Log(log::Level::kInfo, absl::StrCat("pool ", pool.name, " ends: ", why));
  Delete(pool.name, /*force=*/false, [](const absl::StatusOr<PoolInfo>&) {});
}

PoolState PoolManager::StateOf(const PoolEntry& pool, std::string* reason) const {
  if (pool.pool->degraded()) *reason = pool.pool->degraded_reason();
  if (pool.deleting) return PoolState::kDeleted;
  if (pool.draining) return PoolState::kDraining;
  if (pool.pool->degraded()) return PoolState::kDegraded;
  // A failed reload is worth a word too, though the old workers go on.
  *reason = pool.pool->degraded_reason();
  if (pool.paused) return PoolState::kPaused;
  return pool.was_ready ? PoolState::kReady : PoolState::kStarting;
}

PoolInfo PoolManager::Describe(const PoolEntry& pool) const {
  PoolInfo info;
  info.spec = pool.spec();
  info.state = StateOf(pool, &info.reason);
  for (pool::Worker* const worker : pool.pool->workers()) {
    const WorkerLink* const link = workers_->Find(worker->tag());
    if (link == nullptr || !link->ready) {
      ++info.workers_starting;
    } else if (link->retiring) {
      ++info.workers_retiring;
    } else if (link->depth() > 0) {
      ++info.workers_busy;
    } else {
      ++info.workers_idle;
    }
  }
  info.workers_starting = std::max(info.workers_starting, pool.pool->starting());
  const scheduler::SchedulerCounts counts = core_->scheduler.counts(pool.key);
  info.tasks_waiting = counts.waiting;
  info.tasks_queued = counts.queued;
  info.tasks_dispatched = counts.dispatched;
  info.tasks_running = counts.running;
  info.tasks_finished = pool.finished;
  info.queued_bytes = pool.queued_bytes;
  info.worker_exits = pool.pool->unexpected_exits();
  info.zygote_pid = pool.pool->zygote_pid();
  return info;
}

std::vector<PoolInfo> PoolManager::DescribeAll() const {
  std::vector<PoolInfo> all;
  for (const auto& [name, pool] : *pools_) all.push_back(Describe(*pool));
  return all;
}

EventRecord PoolManager::DescribeEvent(const PoolEntry& pool) const {
  EventRecord event;
  event.kind = EventRecord::Kind::kPool;
  event.time = TimeOf(core_->wall_ns);
  event.pool = std::make_shared<const PoolInfo>(Describe(pool));
  return event;
}

// --- effects ---

bool PoolManager::IsScaled(const PoolEntry& pool) const {
  uint32_t ready = 0;
  for (pool::Worker* const worker : pool.pool->workers()) {
    if (worker->dedicated()) continue;
    const WorkerLink* const link = workers_->Find(worker->tag());
    if (link == nullptr || !link->ready || link->retiring || pool.pool->WantsRetirement(*worker)) {
      return false;
    }
    ++ready;
  }
  return ready == pool.spec().size;
}

bool PoolManager::IsReal(const PoolEntry& pool, const PoolEffect& effect,
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

bool PoolManager::SettleEffects(PoolEntry& pool) {
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
      answers.emplace_back(std::move(effect.done), Describe(pool));
    } else {
      answers.emplace_back(std::move(effect.done), failure);
    }
    return true;
  });
  // Answers may order again.
  for (auto& [done, answer] : answers) done(std::move(answer));
  return !answers.empty();
}

bool PoolManager::ReportState(PoolEntry& pool) {
  std::string reason;
  const PoolState state = StateOf(pool, &reason);
  if (state == pool.reported_state && reason == pool.reported_reason &&
      pool.spec().size == pool.reported_size) {
    return false;
  }
  pool.reported_state = state;
  pool.reported_reason = std::move(reason);
  pool.reported_size = pool.spec().size;
  EventRecord event = DescribeEvent(pool);
  EventLog::Entry entry;
  entry.time_ns = core_->wall_ns;
  entry.pool = pool.key;
  entry.kind = event.kind;
  core_->log.Append(entry, &event, sizeof(PoolInfo));
  return true;
}

void PoolManager::LearnFunctions(PoolEntry& pool) {
  const std::vector<std::string>& lines = pool.pool->functions();
  if (lines.size() == pool.functions.size() &&
      std::all_of(lines.begin(), lines.end(), [&pool](const std::string& line) {
        return pool.functions.contains(line.substr(0, line.find('\t')));
      })) {
    return;
  }
  pool.functions.clear();
  for (const std::string& line : lines) pool.functions.insert(line.substr(0, line.find('\t')));
}

bool PoolManager::Settle() {
  bool changed = false;
  bool reported = false;
  std::vector<PoolEntry*> dirty;  // a copy: answers may make pools
  for (const auto& [name, pool] : *pools_) {
    if (pool->dirty) dirty.push_back(pool.get());
  }
  for (PoolEntry* const pool : dirty) {
    pool->dirty = false;
    LearnFunctions(*pool);
    if (pool->deleting && pool->unfinished == 0) EndProcesses(*pool);
    reported |= ReportState(*pool);
    changed |= SettleEffects(*pool);
    if (pool->deleting && pool->processes_gone) pools_->Remove(pool->key);
  }
  if (reported && readiness_) readiness_(DescribeAll());
  const bool all_gone = std::all_of(pools_->begin(), pools_->end(),
                                    [](const auto& pool) { return pool.second->processes_gone; });
  if (shutdown_done_ && all_gone) std::exchange(shutdown_done_, nullptr)();
  return changed || reported;
}

void PoolManager::SetReadinessListener(std::function<void(const std::vector<PoolInfo>&)> changed) {
  readiness_ = std::move(changed);
  if (readiness_) readiness_(DescribeAll());
}

void PoolManager::ShutdownAll(std::function<void()> done) {
  shutdown_done_ = std::move(done);
  for (const auto& [name, pool] : *pools_) {
    pool->dirty = true;
    EndProcesses(*pool);
  }
}

}  // namespace prefork::engine
