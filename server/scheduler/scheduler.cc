// The design of the scheduler.
//
//   Submit --> [dependencies, delay] --> ReadyQueue --> a lane --> Finished / Revoked / WorkerDied
//                     ^                       ^                         |
//                     |                       +---- did not run --------+
//                     +------ another attempt after its backoff --------+
//
// Every event changes the tables at once and leaves actions behind; dispatching alone waits for
// TakeActions, so that a batch of events is answered by one batch of dispatches. A pool takes part
// in it only if something changed that may allow a dispatch.
//
// Memory: a queued task costs 48 bytes (Task). Those with a deadline of their own add 32
// (TaskDetails) and 24 (a timer); timeout, grace and retry options are kept once for all tasks that
// share them (Policy), as are pool, client and priority (Flow). Nothing is allocated for a task on
// the way of a task without deadlines.
//
// Lanes. A worker is given tasks ahead only while its pool's tasks are so short that they fit into
// lane_target_ns together (LaneDepth). A lane whose entries do not move is watched, and what its
// worker does not take runs elsewhere; see standing_lanes.cc. Only such lanes and the tasks' own
// times need a timer, so an idle daemon has none.
//
// Who knows what runs? The claim word in the lane decides between worker and engine; the scheduler
// hears of it by Started (only asked for where it matters), by the answer to a kRevoke, by
// Finished, or by WorkerDied. Until then a task is DISPATCHED, and ends in flight are noted in
// Task::end: the cause that settles the task when it has left the lane.
//
//   cancel while DISPATCHED: kRevoke --> Revoked: CANCELLED
//                                   \--> RevokeRefused: it runs, see below
//   cancel or timeout while RUNNING: revoke all else in that lane (kClearing), and when it holds
//     this task alone: kAskToStop (kAsked), after grace_ns kKillWorker (kKilling). So no signal
//     ever hits a neighbour. A refused revoke says that the task before it has finished already;
//     that news is on its way, and the stop waits for it for a bounded time.
//
// When a worker dies the one entry that was claimed ends with the cause of the death (or what it
// was being stopped for), the others return to the front of their queues as they were.
//
// Successors of a task that ended are told from a list, not by recursion: a chain of a million ends
// in constant stack.

#include "server/scheduler/scheduler.h"

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "server/scheduler/check.h"
#include "server/scheduler/scheduler_impl.h"

namespace prefork::scheduler {

void Scheduler::Impl::SetNow(int64_t now_ns) {
  if (now_ns > now_ns_) {
    now_ns_ = now_ns;
  }
}

void Scheduler::Impl::AddPool(PoolKey key, const PoolLimits& limits) {
  const bool added =
      pools_.emplace(key, std::make_unique<Pool>(key, limits, &tasks_, &flows_, &workers_)).second;
  Check(added, "a pool is added once");
}

void Scheduler::Impl::RemovePool(PoolKey key, int64_t now_ns) {
  SetNow(now_ns);
  Pool* pool = FindPool(key);
  if (pool == nullptr) {
    return;
  }
  pool->removed = true;
  MarkChanged(*pool);
  for (const uint32_t index : pool->workers) {
    Retire(index);
  }
  for (TaskSlot slot = 0; slot < tasks_.end(); ++slot) {
    const Task* task = tasks_.Find(slot);
    if (task != nullptr && task->flow != kNone && &PoolOf(*task) == pool) {
      Cancel(slot, EndCause::kPoolDeleted, /*force=*/false, now_ns);
    }
  }
}

void Scheduler::Impl::SetPaused(PoolKey key, bool paused, int64_t now_ns) {
  SetNow(now_ns);
  Pool* pool = FindPool(key);
  if (pool == nullptr || pool->paused == paused) {
    return;
  }
  pool->paused = paused;
  if (paused) {
    for (const uint32_t index : pool->workers) {
      RevokeUnclaimed(workers_[index], kNone);
    }
  } else {
    MarkChanged(*pool);
  }
}

Pool* Scheduler::Impl::FindPool(PoolKey key) const {
  const auto it = pools_.find(key);
  return it == pools_.end() || it->second->removed ? nullptr : it->second.get();
}

void Scheduler::Impl::MarkChanged(Pool& pool) {
  if (!pool.changed) {
    pool.changed = true;
    changed_pools_.push_back(&pool);
  }
}

SchedulerCounts Scheduler::Impl::counts(PoolKey key) const {
  const auto it = pools_.find(key);
  if (it == pools_.end()) {
    return SchedulerCounts();
  }
  const Pool& pool = *it->second;
  const auto in_state = [&pool](TaskState state) {
    return pool.in_state[static_cast<size_t>(state)];
  };
  return SchedulerCounts{.waiting = in_state(TaskState::kWaiting),
                         .queued = in_state(TaskState::kQueued),
                         .dispatched = in_state(TaskState::kDispatched),
                         .running = in_state(TaskState::kRunning),
                         .workers = pool.workers.size(),
                         .idle_workers = pool.open.idle() + pool.resting.size(),
                         .resting_workers = pool.resting.size()};
}

uint32_t Scheduler::Impl::lane_depth(PoolKey key) const {
  const auto it = pools_.find(key);
  return it == pools_.end() ? 0 : it->second->depth.depth();
}

SchedulerFootprint Scheduler::Impl::footprint() const {
  return SchedulerFootprint{.tasks = tasks_.size(),
                            .task_details = details_.size(),
                            .timers = timers_.size(),
                            .flows = flows_.size(),
                            .policies = policies_.size(),
                            .dependencies = dependencies_.size(),
                            .workers = workers_.size(),
                            .pools = pools_.size()};
}

const Task& Scheduler::Impl::TaskAt(TaskSlot slot) const {
  const Task* task = tasks_.Find(slot);
  Check(task != nullptr, "the slot is in use");
  return *task;
}

WorkerKey Scheduler::Impl::WorkerOf(TaskSlot slot) const {
  const Task& task = TaskAt(slot);
  return task.state == TaskState::kDispatched || task.state == TaskState::kRunning
             ? workers_[task.worker].key
             : kNone;
}

Scheduler::Scheduler() : impl_(std::make_unique<Impl>()) {}
Scheduler::~Scheduler() = default;

void Scheduler::AddPool(PoolKey pool, const PoolLimits& limits) { impl_->AddPool(pool, limits); }
void Scheduler::RemovePool(PoolKey pool, int64_t now_ns) { impl_->RemovePool(pool, now_ns); }
void Scheduler::SetPaused(PoolKey pool, bool paused, int64_t now_ns) {
  impl_->SetPaused(pool, paused, now_ns);
}
absl::Status Scheduler::Submit(TaskSlot slot, const TaskSpec& spec, int64_t now_ns) {
  return impl_->Submit(slot, spec, now_ns);
}
void Scheduler::Cancel(TaskSlot slot, EndCause cause, bool force, int64_t now_ns) {
  impl_->Cancel(slot, cause, force, now_ns);
}
void Scheduler::HoldClient(ClientKey client, bool held, int64_t now_ns) {
  impl_->HoldClient(client, held, now_ns);
}
void Scheduler::ForgetTask(TaskSlot slot) { impl_->ForgetTask(slot); }
TaskState Scheduler::state(TaskSlot slot) const { return impl_->TaskAt(slot).state; }
uint32_t Scheduler::attempt(TaskSlot slot) const { return impl_->TaskAt(slot).attempt; }
WorkerKey Scheduler::worker(TaskSlot slot) const { return impl_->WorkerOf(slot); }
void Scheduler::WorkerReady(WorkerKey worker, PoolKey pool, TaskSlot for_task, int64_t now_ns) {
  impl_->WorkerReady(worker, pool, for_task, now_ns);
}
void Scheduler::DedicatedFailed(TaskSlot task, int64_t now_ns) {
  impl_->DedicatedFailed(task, now_ns);
}
void Scheduler::RetireWorker(WorkerKey worker, int64_t now_ns) {
  impl_->RetireWorker(worker, now_ns);
}
void Scheduler::WorkerDied(WorkerKey worker, TaskSlot running, EndCause cause, int64_t now_ns) {
  impl_->WorkerDied(worker, running, cause, now_ns);
}
void Scheduler::Started(WorkerKey worker, TaskSlot task, int64_t started_ns, int64_t now_ns) {
  impl_->Started(worker, task, started_ns, now_ns);
}
void Scheduler::Finished(WorkerKey worker, TaskSlot task, EndCause cause, int64_t run_ns,
                         int64_t now_ns) {
  impl_->Finished(worker, task, cause, run_ns, now_ns);
}
void Scheduler::Revoked(WorkerKey worker, TaskSlot task, int64_t now_ns) {
  impl_->Revoked(worker, task, now_ns);
}
void Scheduler::RevokeRefused(WorkerKey worker, TaskSlot task, int64_t now_ns) {
  impl_->RevokeRefused(worker, task, now_ns);
}
int64_t Scheduler::NextDeadlineNs() const { return impl_->NextDeadlineNs(); }
void Scheduler::AdvanceTo(int64_t now_ns) { impl_->AdvanceTo(now_ns); }
void Scheduler::TakeActions(int64_t now_ns, std::vector<Action>* out) {
  impl_->TakeActions(now_ns, out);
}
SchedulerCounts Scheduler::counts(PoolKey pool) const { return impl_->counts(pool); }
uint32_t Scheduler::lane_depth(PoolKey pool) const { return impl_->lane_depth(pool); }
SchedulerFootprint Scheduler::footprint() const { return impl_->footprint(); }
void Scheduler::CheckInvariants() const { impl_->CheckInvariants(); }

}  // namespace prefork::scheduler
