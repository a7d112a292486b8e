// The engine's methods about pools, workers and the whole.
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/engine/engine_impl.h"
#include "server/engine/errors.h"
#include "server/engine/task_check.h"

namespace prefork::engine {

absl::Status EngineImpl::CheckPrivileged(const Caller& caller, const std::string& what) const {
  if (caller.privileged) return absl::OkStatus();
  return MakeError(
      absl::StatusCode::kPermissionDenied, reason::kNotPermitted,
      absl::StrCat("user ", caller.uid, " may not ", what, "; root and the daemon's own user may"));
}

absl::StatusOr<PoolInfo> EngineImpl::CreatePool(const Caller& caller, const pool::PoolSpec& spec) {
  if (absl::Status status = CheckPrivileged(caller, "create pools"); !status.ok()) return status;
  if (core_.draining) {
    return MakeError(absl::StatusCode::kUnavailable, reason::kDraining,
                     "the daemon is shutting down and makes no new pools");
  }
  return pool_manager_.Create(spec);
}

absl::StatusOr<PoolInfo> EngineImpl::GetPool(const std::string& name) const {
  const PoolEntry* const pool = pools_.Find(name);
  if (pool == nullptr) return NoSuchPool(name, pools_);
  return pool_manager_.Describe(*pool);
}

std::vector<PoolInfo> EngineImpl::ListPools() const { return pool_manager_.DescribeAll(); }

OrderId EngineImpl::ScalePool(const Caller& caller, const std::string& name, uint32_t size,
                              PoolDone done) {
  if (absl::Status status = CheckPrivileged(caller, "scale pools"); !status.ok()) {
    done(status);
    return 0;
  }
  return pool_manager_.Scale(name, size, std::move(done));
}

OrderId EngineImpl::PausePool(const Caller& caller, const std::string& name, bool paused,
                              PoolDone done) {
  if (absl::Status status = CheckPrivileged(caller, "pause pools"); !status.ok()) {
    done(status);
    return 0;
  }
  return pool_manager_.Pause(name, paused, std::move(done));
}

OrderId EngineImpl::DrainPool(const Caller& caller, const std::string& name, PoolDone done) {
  if (absl::Status status = CheckPrivileged(caller, "drain pools"); !status.ok()) {
    done(status);
    return 0;
  }
  return pool_manager_.Drain(name, std::move(done));
}

OrderId EngineImpl::ReloadPool(const Caller& caller, const std::string& name, PoolDone done) {
  if (absl::Status status = CheckPrivileged(caller, "reload pools"); !status.ok()) {
    done(status);
    return 0;
  }
  return pool_manager_.Reload(name, std::move(done));
}

OrderId EngineImpl::DeletePool(const Caller& caller, const std::string& name, bool force,
                               PoolDone done) {
  if (absl::Status status = CheckPrivileged(caller, "delete pools"); !status.ok()) {
    done(status);
    return 0;
  }
  return pool_manager_.Delete(name, force, std::move(done));
}

std::vector<WorkerInfo> EngineImpl::ListWorkers(const std::string& pool_name) const {
  std::vector<WorkerInfo> workers;
  for (const auto& [name, pool] : pools_) {
    if (!pool_name.empty() && name != pool_name) continue;
    for (pool::Worker* const worker : pool->pool->workers()) {
      workers.push_back(workers_.Describe(*pool, *worker, /*with_usage=*/true));
    }
  }
  return workers;
}

std::vector<FunctionInfo> EngineImpl::ListFunctions(const std::string& pool_name) const {
  std::vector<FunctionInfo> functions;
  for (const auto& [name, pool] : pools_) {
    if (!pool_name.empty() && name != pool_name) continue;
    for (const std::string& line : pool->pool->functions()) {
      const size_t tab = line.find('\t');
      functions.push_back({name, line.substr(0, tab),
                           tab == std::string::npos ? std::string() : line.substr(tab + 1)});
    }
  }
  return functions;
}

StatusInfo EngineImpl::Status() const {
  StatusInfo status;
  status.first_task_id = core_.tasks.first_id();
  status.started_at = core_.started_at;
  status.sessions = static_cast<uint32_t>(core_.sessions.session_count());
  status.tasks_known = core_.tasks.size();
  status.tasks_unfinished = core_.unfinished;
  status.last_sequence = core_.log.next_sequence() - 1;
  status.segment_bytes_leased = core_.segments->leased_bytes();
  status.segment_bytes_warm = core_.segments->warm_bytes();
  status.wakeups = loop_->wakeups();
  status.draining = core_.draining;
  status.pools = pool_manager_.DescribeAll();
  for (const PoolInfo& pool : status.pools) {
    if (!pool.reason.empty()) {
      status.warnings.push_back(absl::StrCat("pool ", pool.spec.name, ": ", pool.reason));
    }
  }
  return status;
}

void EngineImpl::SetReadinessListener(std::function<void(const std::vector<PoolInfo>&)> changed) {
  pool_manager_.SetReadinessListener(std::move(changed));
}

}  // namespace prefork::engine
