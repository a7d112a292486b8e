// Lanes that stand still, and workers that sleep. See scheduler.cc for the whole.
//
// A lane moves when its first entry comes and whenever a task in it finishes. One that does not is
// asked for what its worker has not claimed:
//
//   behind the first entry     after kStandingTargets * lane_target_ns, at least kMinStandingNs:
//                              the first one runs for longer than its kind, or the worker sleeps
//   a lone entry               after kUnclaimedNs
//                                RevokeRefused: it runs, and is RUNNING from now on
//                                Revoked: the worker sleeps (SIGSTOP, a debugger, a machine so busy
//                                that it gets no CPU)
//
// What comes back runs elsewhere. A worker that left its first entry is not dead, but it rests: it
// is given nothing for a while, then an entry on trial, and only when no other worker is idle, so
// that a sleeper costs nobody time while others can work. Each trial that fails doubles the rest;
// the first sign of life ends all that. While every worker rests, tasks are QUEUED.
//
// A rest needs a timer only while a task waits for its end, and a lone entry only until it is known
// to run. So an idle daemon has none, whoever sleeps in it.

#include <algorithm>
#include <cstdint>

#include "server/scheduler/action.h"
#include "server/scheduler/scheduler_impl.h"
#include "server/scheduler/task_table.h"
#include "server/scheduler/types.h"
#include "server/scheduler/workers.h"

namespace prefork::scheduler {
namespace {

constexpr int64_t kStandingTargets = 4;
// A busy machine may keep a worker from its CPU for a few milliseconds.
constexpr int64_t kMinStandingNs = 5'000'000;
constexpr int64_t kUnclaimedNs = 50'000'000;
constexpr int64_t kFirstRestNs = 100'000'000;
constexpr int64_t kLongestRestNs = 1'000'000'000;

// In a lane, not known to run, and not asked for.
bool IsLeft(const Task& task) { return task.state == TaskState::kDispatched && !task.revoking; }

}  // namespace

bool Scheduler::Impl::NeedsWatch(const Worker& worker) const {
  if (worker.lane_size == 0 || worker.dedicated || worker.dying || worker.stopping > 0) {
    return false;
  }
  // Entries are claimed from the front and taken back from the back.
  return IsLeft(tasks_[worker.lane.back()]);
}

void Scheduler::Impl::UpdateWatch(Worker& worker) {
  const bool watch = NeedsWatch(worker);
  if (watch) {
    // Also of a lane that is watched already: it may have become a deep one.
    lane_check_ns_ = std::min(lane_check_ns_, LaneDeadlineNs(worker));
  }
  if (watch == worker.watched) {
    return;
  }
  worker.watched = watch;
  watched_lanes_ += watch ? 1 : -1;
  if (watched_lanes_ == 0) {
    lane_check_ns_ = kNever;
  }
}

int64_t Scheduler::Impl::LaneDeadlineNs(const Worker& worker) {
  if (worker.lane_size == 1) {
    return SaturatingAdd(worker.moved_ns, kUnclaimedNs);
  }
  const int64_t target_ns = worker.pool->limits.lane_target_ns;
  return SaturatingAdd(worker.moved_ns,
                       target_ns > kNever / kStandingTargets
                           ? kNever
                           : std::max(kStandingTargets * target_ns, kMinStandingNs));
}

void Scheduler::Impl::RevokeStandingLanes() {
  int64_t next_ns = kNever;
  for (const auto& [key, pool] : pools_) {
    for (const uint32_t index : pool->workers) {
      Worker& worker = workers_[index];
      if (!worker.watched) {
        continue;
      }
      if (const int64_t at_ns = LaneDeadlineNs(worker); at_ns > now_ns_) {
        next_ns = std::min(next_ns, at_ns);
        continue;
      }
      worker.slow = true;
      RevokeUnclaimed(worker, worker.lane_size == 1 ? kNone : worker.lane.front());
      LaneChanged(index);
    }
  }
  lane_check_ns_ = next_ns;
}

bool Scheduler::Impl::ProvesSleep(TaskSlot slot, const Task& task) const {
  const Worker& worker = workers_[task.worker];
  return task.revoking && slot == worker.lane.front() && !worker.dedicated && !worker.retiring &&
         !worker.dying && now_ns_ - worker.moved_ns >= kUnclaimedNs;
}

void Scheduler::Impl::Rest(uint32_t index, TaskSlot left) {
  Worker& worker = workers_[index];
  const bool was_trusted = worker.rest_ns == 0;
  worker.rest_ns = was_trusted ? kFirstRestNs : std::min(2 * worker.rest_ns, kLongestRestNs);
  worker.rest_end_ns = SaturatingAdd(now_ns_, worker.rest_ns);
  worker.resting = true;
  worker.pool->resting.emplace(worker.rest_end_ns, index);
  ++resting_;
  LaneChanged(index);
  if (was_trusted) {
    actions_.push_back(Action{.kind = Action::Kind::kWorkerRests,
                              .task = left,
                              .worker = worker.key,
                              .at_ns = worker.rest_end_ns});
  }
}

void Scheduler::Impl::EndRest(uint32_t index) {
  Worker& worker = workers_[index];
  if (!worker.resting) {
    return;
  }
  worker.pool->resting.erase({worker.rest_end_ns, index});
  worker.resting = false;
  --resting_;
  LaneChanged(index);
}

bool Scheduler::Impl::EndOldestRest(Pool& pool) {
  if (pool.resting.empty() || pool.resting.begin()->first > now_ns_) {
    return false;
  }
  EndRest(pool.resting.begin()->second);
  return true;
}

bool Scheduler::Impl::WaitsForRest(const Pool& pool) {
  return !pool.resting.empty() && !pool.ready.empty() && !pool.paused && !pool.removed;
}

int64_t Scheduler::Impl::NextRestEndNs() const {
  int64_t next_ns = kNever;
  for (const auto& [key, pool] : pools_) {
    if (WaitsForRest(*pool)) {
      next_ns = std::min(next_ns, pool->resting.begin()->first);
    }
  }
  return next_ns;
}

void Scheduler::Impl::EndRests() {
  for (const auto& [key, pool] : pools_) {
    if (WaitsForRest(*pool) && pool->resting.begin()->first <= now_ns_) {
      MarkChanged(*pool);
    }
  }
}

}  // namespace prefork::scheduler
