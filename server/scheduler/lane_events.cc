// What workers and their lanes report. See scheduler.cc for the whole.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "server/scheduler/action.h"
#include "server/scheduler/check.h"
#include "server/scheduler/scheduler_impl.h"
#include "server/scheduler/task_state.h"
#include "server/scheduler/task_table.h"
#include "server/scheduler/types.h"
#include "server/scheduler/workers.h"

namespace prefork::scheduler {

void Scheduler::Impl::WorkerReady(WorkerKey key, PoolKey pool_key, TaskSlot for_task,
                                  int64_t now_ns) {
  SetNow(now_ns);
  const auto it = pools_.find(pool_key);
  if (it == pools_.end()) {
    actions_.push_back(Action{.kind = Action::Kind::kWorkerIdle, .worker = key});
    return;
  }
  Pool& pool = *it->second;
  const uint32_t index = AddWorker(key, pool, for_task != kNone);
  if (for_task == kNone) {
    if (pool.removed) {
      Retire(index);
    }
    return;
  }
  Task* task = tasks_.Find(for_task);
  if (task == nullptr || !task->starting || task->worker != kNone || &PoolOf(*task) != &pool) {
    ++pool.dedicated_in_use;  // nobody asked for it; it counts until it is gone all the same
    Retire(index);
  } else if (task->end != EndCause::kNone) {
    task->starting = false;
    Settle(for_task, *task, task->end);
    Retire(index);
  } else {
    Reserve(index, for_task, *task);
  }
}

void Scheduler::Impl::DedicatedFailed(TaskSlot slot, int64_t now_ns) {
  SetNow(now_ns);
  Task* task = tasks_.Find(slot);
  if (task == nullptr || !task->starting || task->worker != kNone) {
    return;
  }
  Pool& pool = PoolOf(*task);
  task->starting = false;
  --pool.dedicated_in_use;
  MarkChanged(pool);
  if (task->end != EndCause::kNone) {
    Settle(slot, *task, task->end);
  } else {
    EndAttempt(slot, *task, EndCause::kStartFailed);
  }
}

void Scheduler::Impl::RetireWorker(WorkerKey key, int64_t now_ns) {
  SetNow(now_ns);
  if (const uint32_t index = FindWorker(key); index != kNone) {
    Retire(index);
  }
}

void Scheduler::Impl::Retire(uint32_t index) {
  Worker& worker = workers_[index];
  if (worker.retiring) {
    return;
  }
  worker.retiring = true;
  EndRest(index);
  if (const TaskSlot slot = worker.reserved_for; slot != kNone) {
    ReleaseReserved(index);
    QueueOf(tasks_[slot]).PutBack(slot);
    MarkChanged(*worker.pool);
  }
  RevokeUnclaimed(worker, kNone);
  if (worker.lane_size == 0) {
    ReportIdle(worker);
  }
  LaneChanged(index);
}

void Scheduler::Impl::WorkerDied(WorkerKey key, TaskSlot running, EndCause cause, int64_t now_ns) {
  SetNow(now_ns);
  const uint32_t index = FindWorker(key);
  if (index == kNone) {
    return;
  }
  Worker& worker = workers_[index];
  worker.dying = true;
  EndRest(index);
  if (const TaskSlot slot = worker.reserved_for; slot != kNone) {
    ReleaseReserved(index);
    EndAttempt(slot, tasks_[slot], EndCause::kStartFailed);
  }
  while (!worker.lane.empty()) {
    const TaskSlot slot = worker.lane.back();
    Task& task = tasks_[slot];
    // A start that was announced and is not in the claim words is believed here, on the safe side:
    // the task may have had effects.
    const bool ran = slot == running || task.state == TaskState::kRunning;
    const EndCause end = task.end;
    TakeFromLane(slot, task);
    if (end != EndCause::kNone && !(ran && end == EndCause::kQueueExpired)) {
      EndAttempt(slot, task, end);
    } else if (ran) {
      EndAttempt(slot, task, cause);
    } else if (worker.dedicated) {
      EndAttempt(slot, task, EndCause::kStartFailed);
    } else {
      Requeue(slot, task);
    }
  }
  RemoveWorker(index);
}

void Scheduler::Impl::Started(WorkerKey key, TaskSlot slot, int64_t started_ns, int64_t now_ns) {
  SetNow(now_ns);
  Task* task = FindInLane(key, slot);
  if (task == nullptr) {
    return;
  }
  started_ns = std::clamp<int64_t>(started_ns, 0, now_ns_);
  if (task->state == TaskState::kDispatched) {
    NowRuns(slot, *task, started_ns);
  } else if (task->stop == StopPhase::kNone && PolicyOf(*task).timeout_ns > 0) {
    // Known already from a refused revoke, but not since when. It may only become earlier.
    TaskDetails& details = DetailsOf(*task);
    details.stop_ns =
        std::min(details.stop_ns, SaturatingAdd(started_ns, PolicyOf(*task).timeout_ns));
    UpdateTimer(slot, *task);
  }
}

void Scheduler::Impl::NowRuns(TaskSlot slot, Task& task, int64_t started_ns) {
  if (const int64_t timeout_ns = PolicyOf(task).timeout_ns; timeout_ns > 0) {
    DetailsOf(task).stop_ns = SaturatingAdd(started_ns, timeout_ns);
  }
  if (task.details != kNone) {
    details_[task.details].queue_deadline_ns = 0;
  }
  if (task.end == EndCause::kQueueExpired) {
    task.end = EndCause::kNone;
  }
  SetState(slot, task, TaskState::kRunning);
  EmitState(slot, task);
  Worker& worker = workers_[task.worker];
  worker.rest_ns = 0;
  UpdateWatch(worker);
}

void Scheduler::Impl::Finished(WorkerKey key, TaskSlot slot, EndCause cause, int64_t run_ns,
                               int64_t now_ns) {
  SetNow(now_ns);
  Task* task = FindInLane(key, slot);
  if (task == nullptr) {
    return;
  }
  Worker& worker = workers_[task->worker];
  worker.moved_ns = now_ns_;
  worker.slow = false;
  worker.rest_ns = 0;
  if (!worker.dedicated) {
    worker.pool->depth.OnFinished(run_ns);
  }
  // The news of a task that ended in time may be later than its timeout.
  const bool over_time = task->end == EndCause::kTimeout &&
                         (task->stop == StopPhase::kAsked || task->stop == StopPhase::kKilling) &&
                         run_ns >= PolicyOf(*task).timeout_ns;
  if (over_time || IsCancel(task->end)) {
    cause = task->end;
  } else if (cause == EndCause::kCancelledByClient) {
    cause = EndCause::kTaskError;  // nobody asked it to stop
  }
  TakeFromLane(slot, *task);
  task->end = EndCause::kNone;
  EndAttempt(slot, *task, cause);
}

void Scheduler::Impl::Revoked(WorkerKey key, TaskSlot slot, int64_t now_ns) {
  SetNow(now_ns);
  Task* task = FindInLane(key, slot);
  if (task == nullptr) {
    return;
  }
  const uint32_t index = task->worker;
  Worker& worker = workers_[index];
  const bool lane_was_full = !task->revoking;
  const bool sleeps = ProvesSleep(slot, *task);
  TakeFromLane(slot, *task);
  if (task->end != EndCause::kNone) {
    EndAttempt(slot, *task, task->end);
  } else if (worker.dedicated && !worker.retiring && !worker.dying) {
    SetState(slot, *task, TaskState::kQueued);
    Reserve(index, slot, *task);
    EmitState(slot, *task);
  } else {
    Requeue(slot, *task);
  }
  if (lane_was_full && worker.lane_size > 0) {
    worker.slow = true;
    LaneChanged(index);
  }
  if (sleeps && worker.lane_size == 0) {
    Rest(index, slot);
  }
}

void Scheduler::Impl::RevokeRefused(WorkerKey key, TaskSlot slot, int64_t now_ns) {
  SetNow(now_ns);
  Task* task = FindInLane(key, slot);
  if (task == nullptr) {
    return;
  }
  task->revoking = false;
  if (task->state == TaskState::kDispatched) {
    NowRuns(slot, *task, now_ns_);
  } else {
    UpdateWatch(workers_[task->worker]);
  }
  if (IsCancel(task->end)) {
    Stop(slot, *task);
  }
}

uint32_t Scheduler::Impl::AddWorker(WorkerKey key, Pool& pool, bool dedicated) {
  const uint32_t index = workers_.Add();
  const bool added = worker_index_.try_emplace(key, index).second;
  Check(added, "the key of a worker is never used again");
  Worker& worker = workers_[index];
  worker.key = key;
  worker.pool = &pool;
  worker.dedicated = dedicated;
  worker.pool_position = static_cast<uint32_t>(pool.workers.size());
  pool.workers.push_back(index);
  MarkChanged(pool);
  LaneChanged(index);
  return index;
}

void Scheduler::Impl::RemoveWorker(uint32_t index) {
  const Worker& worker = workers_[index];
  Pool& pool = *worker.pool;
  pool.open.Update(index, kNone);
  pool.dedicated_in_use -= worker.dedicated ? 1 : 0;
  const uint32_t last = pool.workers.back();
  pool.workers[worker.pool_position] = last;
  workers_[last].pool_position = worker.pool_position;
  pool.workers.pop_back();
  worker_index_.erase(worker.key);
  workers_.Remove(index);
  MarkChanged(pool);
}

uint32_t Scheduler::Impl::FindWorker(WorkerKey key) const {
  const auto it = worker_index_.find(key);
  return it == worker_index_.end() ? kNone : it->second;
}

Task* Scheduler::Impl::FindInLane(WorkerKey key, TaskSlot slot) {
  Task* task = tasks_.Find(slot);
  const bool in_lane =
      task != nullptr &&
      (task->state == TaskState::kDispatched || task->state == TaskState::kRunning) &&
      workers_[task->worker].key == key;
  return in_lane ? task : nullptr;
}

void Scheduler::Impl::PutInLane(uint32_t index, TaskSlot slot, Task& task) {
  Worker& worker = workers_[index];
  if (worker.lane_size == 0) {
    worker.moved_ns = now_ns_;
  }
  task.worker = index;
  worker.lane.PushBack(tasks_, slot);
  ++worker.lane_size;
  SetState(slot, task, TaskState::kDispatched);
  actions_.push_back(Action{.kind = Action::Kind::kDispatch,
                            .state = TaskState::kDispatched,
                            .task = slot,
                            .worker = worker.key,
                            .attempt = task.attempt,
                            .notify_start = worker.dedicated || worker.pool->depth.depth() == 1 ||
                                            PolicyOf(task).timeout_ns > 0});
  LaneChanged(index);
}

void Scheduler::Impl::TakeFromLane(TaskSlot slot, Task& task) {
  const uint32_t index = task.worker;
  Worker& worker = workers_[index];
  worker.lane.Remove(tasks_, slot);
  --worker.lane_size;
  LeaveStop(task, worker);
  task.worker = kNone;
  task.revoking = false;
  if (worker.lane_size == 0) {
    worker.slow = false;
    ReportIdle(worker);
  } else if (worker.lane_size == 1 && worker.stopping > 0) {
    const TaskSlot last = worker.lane.front();
    if (tasks_[last].stop == StopPhase::kClearing) {
      ProceedStop(last, tasks_[last]);
    }
  }
  LaneChanged(index);
  MarkChanged(*worker.pool);
}

void Scheduler::Impl::Reserve(uint32_t index, TaskSlot slot, Task& task) {
  Worker& worker = workers_[index];
  task.starting = true;
  task.worker = index;
  worker.reserved_for = slot;
  worker.pool->reserved.push_back(index);
  MarkChanged(*worker.pool);
}

void Scheduler::Impl::ReleaseReserved(uint32_t index) {
  Worker& worker = workers_[index];
  Task& task = tasks_[worker.reserved_for];
  task.starting = false;
  task.worker = kNone;
  worker.reserved_for = kNone;
  std::erase(worker.pool->reserved, index);
  ReportIdle(worker);
}

void Scheduler::Impl::ReportIdle(Worker& worker) {
  if (!worker.report_idle) {
    worker.report_idle = true;
    emptied_.push_back(worker.key);
  }
}

void Scheduler::Impl::LaneChanged(uint32_t index) {
  Worker& worker = workers_[index];
  const bool open = !worker.dying && !worker.slow && worker.stopping == 0 && !worker.retiring &&
                    !worker.dedicated && !worker.resting;
  worker.pool->open.Update(index, open ? worker.lane_size : kNone);
  UpdateWatch(worker);
}

}  // namespace prefork::scheduler
