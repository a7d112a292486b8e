#ifndef PREFORK_TESTS_SIMULATION_LEDGER_H_
#define PREFORK_TESTS_SIMULATION_LEDGER_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "server/scheduler/action.h"
#include "server/scheduler/scheduler.h"
#include "server/scheduler/types.h"
#include "tests/simulation/fake_worker.h"

namespace prefork::simulation {

using scheduler::Action;
using scheduler::ClientKey;
using scheduler::PoolLimits;
using scheduler::Scheduler;
using scheduler::TaskSpec;
using scheduler::TaskState;

struct TaskRecord {
  bool used = false;
  TaskSpec spec;
  // How it behaves when it runs.
  int64_t run_ns = 0;
  bool hangs = false;
  bool obeys = false;
  EndCause outcome = EndCause::kNone;
  // What the scheduler said of it, as far as its actions were read.
  TaskState state = TaskState::kWaiting;
  uint32_t attempt = 1;
  bool starting = false;          // kStartDedicated came
  WorkerKey reserved_by = kNone;  // the dedicated worker that is ready for it
  WorkerKey worker = kNone;       // in whose lane it is for all that was reported
  bool asked = false;
  bool revoking = false;  // kRevoke came
  uint32_t crashes = 0;
  uint64_t order = 0;  // of its arrival in the queue
  int64_t wake_ns = 0;
  // What was said to the scheduler about it.
  int64_t submitted_ns = 0;
  EndCause cancel = EndCause::kNone;
  int64_t cancelled_ns = 0;
  uint32_t cancelled_attempt = 0;
  EndCause reported = EndCause::kNone;  // how its present attempt ended
  int64_t reported_run_ns = 0;
  bool ran = false;                 // the scheduler knows that some attempt began
  int64_t started_ns = -1;          // as the scheduler knows it of this attempt
  std::vector<TaskSlot> waits_for;  // predecessors whose end was not read
  bool predecessor_failed = false;
};

struct PoolRecord {
  PoolLimits limits;
  bool paused = false;
  bool quiet = false;  // paused, and what that demands was carried out
  bool removed = false;
  uint32_t dedicated = 0;  // starting or alive
};

using Workers = std::map<WorkerKey, std::unique_ptr<FakeWorker>>;

// Keeps account of what was told to the scheduler and what it answered, by means of its own, and aborts
// when an answer breaks a promise. History owns the world and tells; the promises stand in ledger.cc.
class Ledger {
 public:
  // Neither is owned.
  Ledger(const Scheduler* scheduler, const Workers* workers, TaskSlot slots)
      : scheduler_(scheduler), workers_(workers), tasks_(slots) {}

  TaskRecord& task(TaskSlot slot) { return tasks_[slot]; }
  TaskSlot slots() const { return static_cast<TaskSlot>(tasks_.size()); }
  std::map<PoolKey, PoolRecord>& pools() { return pools_; }

  // --- told to the scheduler; call right after it was told ---
  void Submitted(TaskSlot slot, TaskRecord record, int64_t now_ns);
  void Cancelled(TaskSlot slot, EndCause cause, int64_t now_ns);
  // Call before it is told.
  void HoldClient(ClientKey client, bool held);
  bool IsHeld(ClientKey client) const { return held_.contains(client); }
  void Began(TaskSlot slot, int64_t started_ns);
  void LeftLane(TaskSlot slot, EndCause reported, int64_t run_ns);
  // A dedicated worker that was ready for `slot` is not any more.
  void LostReservation(TaskSlot slot);
  // After every event: tasks whose waiting is over are in the queue now.
  void Sync(int64_t now_ns);

  // --- answered ---
  void Apply(const Action& action, int64_t now_ns);
  // After a batch of actions was applied.
  void CheckBatch(int64_t now_ns);

 private:
  // No worker rests longer than this.
  static constexpr int64_t kLongestRestNs = 1'000'000'000;

  struct Flow {
    std::set<std::pair<uint64_t, TaskSlot>> queued;
    int64_t served = 0;  // comparable within its ring
    int64_t credit = 0;  // put back since it entered the ring and not served again
  };
  // Pool, dedicated or not, priority descending.
  using RingKey = std::tuple<PoolKey, bool, int64_t>;
  using Ring = std::map<ClientKey, Flow>;

  static RingKey RingOf(const TaskSpec& spec) {
    return {spec.pool, spec.dedicated, -int64_t{spec.priority}};
  }
  void Queue(TaskSlot slot, bool put_back);
  void Unqueue(TaskSlot slot);
  // Takes `slot` out because it ended.
  void Abandon(TaskSlot slot);
  // The highest priority of a pool that has tasks of clients that are not held; null when none has.
  const RingKey* BestRing(PoolKey pool, bool dedicated) const;
  // Takes `slot` as the one that was chosen; it has to be the right one.
  void Choose(TaskSlot slot);

  void ApplyDispatch(const Action& action, int64_t now_ns);
  void ApplyStateChange(const Action& action, int64_t now_ns);
  void ApplyRetry(const Action& action, int64_t now_ns);
  void CheckEnd(const TaskRecord& task, const Action& action, int64_t now_ns) const;
  void CheckCause(const TaskRecord& task, EndCause cause, int64_t now_ns) const;
  bool ShouldRetry(const TaskRecord& task, EndCause cause) const;
  void CheckPool(PoolKey key, const PoolRecord& pool, int64_t now_ns) const;
  void CheckTimes(int64_t now_ns) const;
  void CheckLeftEntries(int64_t now_ns) const;

  const Scheduler* scheduler_;
  const Workers* workers_;
  std::vector<TaskRecord> tasks_;
  std::vector<TaskSlot> waiting_;
  std::map<PoolKey, PoolRecord> pools_;
  std::map<RingKey, Ring> rings_;
  std::set<ClientKey> held_;
  uint64_t last_order_ = 0;
  uint64_t read_order_ = 0;  // last_order_ when all actions had been read
};

}  // namespace prefork::simulation

#endif  // PREFORK_TESTS_SIMULATION_LEDGER_H_
