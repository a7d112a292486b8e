// What holds after each batch of actions: counts, deadlines, and no entry that is left lying.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "server/scheduler/check.h"
#include "server/scheduler/types.h"
#include "tests/simulation/ledger.h"

namespace prefork::simulation {

using scheduler::Check;
using scheduler::IsTerminal;

namespace {

// No entry is left longer than this to a worker that does not claim it.
constexpr int64_t kMaxLeftNs = 50'000'000;

}  // namespace

void Ledger::CheckBatch(int64_t now_ns) {
  read_order_ = last_order_;
  for (const auto& [key, pool] : pools_) {
    CheckPool(key, pool, now_ns);
  }
  CheckTimes(now_ns);
  CheckLeftEntries(now_ns);
}

void Ledger::CheckPool(PoolKey key, const PoolRecord& pool, int64_t now_ns) const {
  std::array<size_t, 4> in_state = {};
  for (const TaskRecord& task : tasks_) {
    if (task.used && task.spec.pool == key && !IsTerminal(task.state)) {
      ++in_state[static_cast<size_t>(task.state)];
    }
  }
  size_t workers = 0;
  size_t idle = 0;
  size_t suspects = 0;
  for (const auto& [worker_key, worker] : *workers_) {
    if (worker->pool() == key) {
      ++workers;
      idle += worker->assigned == 0 && !worker->retired && !worker->killed && !worker->dedicated()
                  ? 1
                  : 0;
      suspects += worker->suspect ? 1 : 0;
    }
  }
  const scheduler::SchedulerCounts counts = scheduler_->counts(key);
  Check(counts.waiting == in_state[0] && counts.queued == in_state[1] &&
            counts.dispatched == in_state[2] && counts.running == in_state[3],
        "counts of tasks add up");
  Check(counts.workers == workers && counts.idle_workers == idle, "counts of workers add up");
  Check(counts.resting_workers <= suspects, "only a worker that left an old entry rests");
  const bool queued = BestRing(key, /*dedicated=*/false) != nullptr;
  if (queued && !pool.paused && !pool.removed) {
    Check(idle == counts.resting_workers, "no worker idles while a task is queued");
    Check(counts.resting_workers == 0 || scheduler_->NextDeadlineNs() <= now_ns + kLongestRestNs,
          "a rest ends when a task waits for it");
  }
}

void Ledger::CheckLeftEntries(int64_t now_ns) const {
  for (const TaskRecord& task : tasks_) {
    if (!task.used || task.state != TaskState::kDispatched || task.worker == kNone ||
        task.spec.dedicated) {
      continue;
    }
    const FakeWorker& worker = *workers_->at(task.worker);
    if (worker.killed || now_ns - worker.moved_ns < kMaxLeftNs) {
      continue;
    }
    // From the back to the front: while the last answers are on their way, the first entry waits.
    Check(std::any_of(tasks_.begin(), tasks_.end(),
                      [&task](const TaskRecord& other) {
                        return other.used && other.worker == task.worker && other.revoking;
                      }),
          "what its worker does not claim is taken back");
  }
}

void Ledger::CheckTimes(int64_t now_ns) const {
  Check(scheduler_->NextDeadlineNs() > now_ns, "no deadline lies in the past");
  for (const TaskSlot slot : waiting_) {
    const TaskRecord& task = tasks_[slot];
    Check(task.wake_ns > now_ns || !task.waits_for.empty(), "a waiting task waits for something");
  }
  for (const TaskRecord& task : tasks_) {
    if (!task.used || task.state != TaskState::kRunning) {
      continue;
    }
    const bool over_time =
        task.spec.timeout_ns > 0 && task.started_ns + task.spec.timeout_ns <= now_ns;
    const FakeWorker& worker = *workers_->at(task.worker);
    if (!over_time || task.asked) {
      continue;
    }
    Check(worker.assigned > 1, "a task over its time is being stopped");
    for (const TaskRecord& other : tasks_) {
      Check(!other.used || other.worker != task.worker || other.state != TaskState::kDispatched ||
                other.revoking,
            "a lane is cleared for a task that is to be stopped");
    }
  }
}

}  // namespace prefork::simulation
