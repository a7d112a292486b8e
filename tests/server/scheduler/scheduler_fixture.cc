#include "tests/server/scheduler/scheduler_fixture.h"

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "server/scheduler/action.h"
#include "server/scheduler/types.h"
#include "tests/server/scheduler/describe.h"

namespace prefork::scheduler {

SchedulerTest::SchedulerTest(const PoolLimits& limits) { scheduler_.AddPool(kPool, limits); }

void SchedulerTest::Submit(TaskSlot slot, TaskSpec spec) {
  spec.pool = kPool;
  const absl::Status status = scheduler_.Submit(slot, spec, now_);
  ASSERT_TRUE(status.ok()) << status;
}

void SchedulerTest::Finish(WorkerKey worker, TaskSlot task, EndCause cause, int64_t run_ns) {
  scheduler_.Finished(worker, task, cause, run_ns, now_);
}

void SchedulerTest::Advance(int64_t ns) {
  now_ += ns;
  scheduler_.AdvanceTo(now_);
}

std::vector<std::string> SchedulerTest::Take() {
  std::vector<Action> actions;
  scheduler_.TakeActions(now_, &actions);
  scheduler_.CheckInvariants();
  std::vector<std::string> described;
  described.reserve(actions.size());
  for (const Action& action : actions) {
    described.push_back(Describe(action));
  }
  return described;
}

void SchedulerTest::MakeLanesDeep(WorkerKey worker, uint32_t depth) {
  constexpr TaskSlot kSlot = 1'000;
  while (scheduler_.lane_depth(kPool) < depth) {
    Submit(kSlot);
    Take();
    Finish(worker, kSlot, EndCause::kCompleted, /*run_ns=*/1'000);
    scheduler_.ForgetTask(kSlot);
  }
  Take();
}

}  // namespace prefork::scheduler
