// The life of a pool: made by Create, changed by orders, deleted by one or because nobody uses it.
// What each order does at once, and when it is answered, is told in pool_effects.cc. A pool is
// destroyed between passes only (Settle), never inside one of its own calls.
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
    : core_(core),
      pools_(pools),
      workers_(workers),
      factory_(std::move(factory)),
      reporter_(core, pools, workers),
      effects_(pools, workers, &reporter_),
      unused_(core, pools, [this](PoolEntry& pool) {
        Delete(pool.name, /*force=*/false, [](const absl::StatusOr<PoolInfo>&) {});
      }) {}

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
    unused_.MakeRoom();
    const int64_t timeout_ns = absl::ToInt64Nanoseconds(spec.idle_timeout);
    if (timeout_ns < INT64_MAX / 2) pool.idle_timeout_ns = timeout_ns;  // else some centuries
    unused_.Note(pool);
  }
  pool.pool->Start();
  return reporter_.Describe(pool);
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
  return effects_.Add(*pool, PoolEffect::Kind::kScaled, std::move(done));
}

OrderId PoolManager::Pause(const std::string& name, bool paused, Done done) {
  PoolEntry* const pool = FindOrFail(name, done);
  if (pool == nullptr) return 0;
  pool->paused = paused;
  if (!paused) pool->draining = false;
  core_->scheduler.SetPaused(pool->key, paused, core_->now_ns);
  return effects_.Add(*pool, PoolEffect::Kind::kPaused, std::move(done));
}

OrderId PoolManager::Drain(const std::string& name, Done done) {
  PoolEntry* const pool = FindOrFail(name, done);
  if (pool == nullptr) return 0;
  pool->draining = true;
  return effects_.Add(*pool, PoolEffect::Kind::kDrained, std::move(done));
}

OrderId PoolManager::Reload(const std::string& name, Done done) {
  PoolEntry* const pool = FindOrFail(name, done);
  if (pool == nullptr) return 0;
  const OrderId order = effects_.Add(*pool, PoolEffect::Kind::kReloaded, std::move(done));
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
  return effects_.Add(*pool, PoolEffect::Kind::kDeleted, std::move(done));
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
  unused_.Note(*pool);
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
    reported |= reporter_.Report(*pool);
    changed |= effects_.Settle(*pool);
    if (pool->deleting && pool->processes_gone) pools_->Remove(pool->key);
  }
  if (reported) reporter_.TellReadiness();
  const bool all_gone = std::all_of(pools_->begin(), pools_->end(),
                                    [](const auto& pool) { return pool.second->processes_gone; });
  if (shutdown_done_ && all_gone) std::exchange(shutdown_done_, nullptr)();
  return changed || reported;
}

void PoolManager::ShutdownAll(std::function<void()> done) {
  shutdown_done_ = std::move(done);
  for (const auto& [name, pool] : *pools_) {
    pool->dirty = true;
    EndProcesses(*pool);
  }
}

}  // namespace prefork::engine
