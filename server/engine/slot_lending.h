#ifndef PREFORK_SERVER_ENGINE_SLOT_LENDING_H_
#define PREFORK_SERVER_ENGINE_SLOT_LENDING_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "common/os/process_stats.h"
#include "server/engine/core.h"
#include "server/engine/pool_entry.h"
#include "server/engine/workers.h"

namespace prefork::engine {

// Lets a task wait for tasks that it has submitted itself, to whatever pool, its own full one among
// them: the worker's place is lent to another one until that wait is over. The design note is in
// slot_lending.cc.
class SlotLending {
 public:
  // The most workers that a pool gets beyond its size.
  static constexpr uint32_t kMaxLent = 64;
  // What is known of a process; os::ReadProcessStats, unless a test says otherwise.
  using Probe = std::function<absl::StatusOr<os::ProcessStats>(pid_t)>;

  // Nothing is owned but the probe.
  SlotLending(const Core* core, const PoolTable* pools, const Workers* workers, Probe probe)
      : core_(core), pools_(pools), workers_(workers), probe_(std::move(probe)) {}

  // `session` was opened by the process `pid` of this host.
  void NoteSession(SessionId session, pid_t pid) { unknown_.push_back({session, pid}); }
  // At the end of a pass.
  void Review();
  // When Review has to look again; INT64_MAX: when something happens.
  int64_t next_ns() const { return next_ns_; }

 private:
  struct Unknown {
    SessionId session = 0;
    pid_t pid = 0;
  };
  // A session of a task: of the process that runs it, or of one below.
  struct Inner {
    SessionId session = 0;
    scheduler::WorkerKey worker = 0;
  };

  void LearnOwners();
  scheduler::WorkerKey FindOwner(pid_t pid) const;
  void Look();
  bool Starves(const PoolEntry& pool) const;
  bool Sleeps(const WorkerLink& link) const;

  const Core* const core_;
  const PoolTable* const pools_;
  const Workers* const workers_;
  const Probe probe_;
  std::vector<Unknown> unknown_;  // without a task so far
  std::vector<Inner> inner_;
  absl::flat_hash_map<scheduler::WorkerKey, TaskId> lenders_;  // and the task that waits in them
  int64_t looked_ns_ = INT64_MIN / 2;
  int64_t next_ns_ = INT64_MAX;
};

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_SLOT_LENDING_H_
