#include "tests/bench/scheduler_bench.h"

#include <chrono>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "server/scheduler/action.h"
#include "server/scheduler/check.h"
#include "server/scheduler/scheduler.h"
#include "server/scheduler/types.h"

namespace prefork::bench {
namespace {

using scheduler::Action;
using scheduler::EndCause;
using scheduler::TaskSlot;
using scheduler::WorkerKey;

constexpr scheduler::PoolKey kPool = 1;
constexpr uint64_t kTasks = 2'000'000;
constexpr TaskSlot kInFlight = 1'000;
constexpr int64_t kRunNs = 500;

struct Dispatched {
  TaskSlot task;
  WorkerKey worker;
};

}  // namespace

double MeasureSchedulerTasksPerSecond() {
  scheduler::Scheduler scheduler;
  scheduler.AddPool(kPool, scheduler::PoolLimits());
  scheduler.WorkerReady(1, kPool, scheduler::kNone, 0);
  scheduler.WorkerReady(2, kPool, scheduler::kNone, 0);
  std::vector<TaskSlot> free_slots;
  for (TaskSlot slot = kInFlight; slot > 0; --slot) {
    free_slots.push_back(slot - 1);
  }
  std::vector<Dispatched> lanes;
  std::vector<Action> actions;
  const scheduler::TaskSpec spec{.pool = kPool};
  int64_t now_ns = 1;
  uint64_t finished = 0;
  const auto begin = std::chrono::steady_clock::now();
  while (finished < kTasks) {
    while (!free_slots.empty()) {
      scheduler::Check(scheduler.Submit(free_slots.back(), spec, now_ns).ok(), "accepted");
      free_slots.pop_back();
    }
    scheduler.TakeActions(now_ns, &actions);
    for (const Action& action : actions) {
      if (action.kind == Action::Kind::kDispatch) {
        lanes.push_back(Dispatched{.task = action.task, .worker = action.worker});
      } else if (action.kind == Action::Kind::kStateChanged && IsTerminal(action.state)) {
        scheduler.ForgetTask(action.task);
        free_slots.push_back(action.task);
        ++finished;
      }
    }
    for (const Dispatched& entry : lanes) {
      now_ns += kRunNs / 2;
      scheduler.Finished(entry.worker, entry.task, EndCause::kCompleted, kRunNs, now_ns);
    }
    lanes.clear();
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  return static_cast<double>(finished) / seconds.count();
}

}  // namespace prefork::bench
