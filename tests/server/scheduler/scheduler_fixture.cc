#include "tests/server/scheduler/scheduler_fixture.h"

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/scheduler/action.h"
#include "server/scheduler/types.h"

namespace prefork::scheduler {

std::string Describe(const Action& action) {
  const std::string cause(EndCauseName(action.cause));
  switch (action.kind) {
    case Action::Kind::kDispatch:
      return absl::StrCat("dispatch ", action.task, " w", action.worker,
                          action.attempt > 1 ? absl::StrCat(" attempt ", action.attempt) : "",
                          action.notify_start ? " notify" : "");
    case Action::Kind::kRevoke:
      return absl::StrCat("revoke ", action.task, " w", action.worker);
    case Action::Kind::kAskToStop:
      return absl::StrCat("ask ", action.task, " w", action.worker, " ", cause);
    case Action::Kind::kKillWorker:
      return absl::StrCat("kill w", action.worker, " for ", action.task, " ", cause);
    case Action::Kind::kStartDedicated:
      return absl::StrCat("start worker for ", action.task);
    case Action::Kind::kStateChanged:
      return absl::StrCat("state ", action.task, " ", std::string(TaskStateName(action.state)),
                          action.cause == EndCause::kNone ? "" : absl::StrCat(" ", cause));
    case Action::Kind::kRetryScheduled:
      return absl::StrCat("retry ", action.task, " after attempt ", action.attempt, " ", cause);
    case Action::Kind::kWorkerIdle:
      return absl::StrCat("idle w", action.worker);
  }
  return "unknown action";
}

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
  constexpr TaskSlot kSlot = 1'000'000;
  while (scheduler_.lane_depth(kPool) < depth) {
    Submit(kSlot);
    Take();
    Finish(worker, kSlot, EndCause::kCompleted, /*run_ns=*/1'000);
    scheduler_.ForgetTask(kSlot);
  }
  Take();
}

}  // namespace prefork::scheduler
