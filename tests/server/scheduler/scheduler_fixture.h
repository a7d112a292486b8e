#ifndef PREFORK_TESTS_SERVER_SCHEDULER_SCHEDULER_FIXTURE_H_
#define PREFORK_TESTS_SERVER_SCHEDULER_SCHEDULER_FIXTURE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/scheduler/scheduler.h"
#include "server/scheduler/types.h"

namespace prefork::scheduler {

inline constexpr int64_t kMs = 1'000'000;
inline constexpr int64_t kSecond = 1'000'000'000;

// A scheduler with one pool (kPool) and a clock that tests move. What it wants done is read as
// text, so that a scenario can be compared at a glance; the invariants are checked at every
// reading.
class SchedulerTest : public ::testing::Test {
 protected:
  static constexpr PoolKey kPool = 1;

  explicit SchedulerTest(const PoolLimits& limits = PoolLimits());

  // Submits a task without any wishes, or with some; it has to be accepted.
  void Submit(TaskSlot slot, TaskSpec spec = TaskSpec());
  void AddWorker(WorkerKey worker) { scheduler_.WorkerReady(worker, kPool, kNone, now_); }
  void Finish(WorkerKey worker, TaskSlot task, EndCause cause = EndCause::kCompleted,
              int64_t run_ns = 10 * kMs);
  void Start(WorkerKey worker, TaskSlot task) { scheduler_.Started(worker, task, now_, now_); }
  void Die(WorkerKey worker, TaskSlot running, EndCause cause = EndCause::kWorkerDied) {
    scheduler_.WorkerDied(worker, running, cause, now_);
  }
  void Cancel(TaskSlot task, bool force = false) {
    scheduler_.Cancel(task, EndCause::kCancelledByClient, force, now_);
  }
  // Lets time pass and everything happen that is due.
  void Advance(int64_t ns);
  // What is to be done since the last call.
  std::vector<std::string> Take();
  TaskState state(TaskSlot slot) const { return scheduler_.state(slot); }

  // Makes the pool's lane depth what short tasks make it; worker `worker` must be alone and idle.
  void MakeLanesDeep(WorkerKey worker, uint32_t depth);

  Scheduler scheduler_;
  int64_t now_ = 1'000 * kSecond;
};

}  // namespace prefork::scheduler

#endif  // PREFORK_TESTS_SERVER_SCHEDULER_SCHEDULER_FIXTURE_H_
