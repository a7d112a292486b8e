// The promises that are checked, each on the evidence of what was told and answered:
//
//   every accepted task ends in exactly one terminal state, announced once, with a cause that was given
//   a cancelled task ends CANCELLED; nothing of a task that ended is left in a lane
//   an attempt that its policy wants repeated is repeated, any other is not
//   a task is in one lane at most, and dispatched only when it may be: its delay is over, its
//     predecessors succeeded, its pool is neither paused nor removed, its worker lives and stays
//   nothing of a client that is held begins
//   priority first; first in, first out within a client; no client gets ahead of another that has tasks
//   lanes are no deeper than allowed, idle workers come first, and nothing goes behind a long task
//   no worker idles while a task is queued, but one that left an old entry and rests for a while
//   what its worker does not claim is taken back
//   deadlines are kept: none lies in the past, a task over its time is being stopped
//   counts add up

#include "tests/simulation/ledger.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "server/scheduler/check.h"
#include "server/scheduler/types.h"

namespace prefork::simulation {

using scheduler::Check;
using scheduler::IsTerminal;

namespace {

// A client is ahead of another by the turn it has and by one that the other has not taken yet.
constexpr int64_t kMaxLead = 2;
// No entry is left longer than this to a worker that does not claim it.
constexpr int64_t kMaxLeftNs = 50'000'000;
constexpr int64_t kLongestRestNs = 1'000'000'000;

bool IsCrash(EndCause cause) {
  return cause == EndCause::kWorkerDied || cause == EndCause::kOutOfMemory ||
         cause == EndCause::kProtocolViolation;
}

}  // namespace

void Ledger::Submitted(TaskSlot slot, TaskRecord record, int64_t now_ns) {
  record.used = true;
  record.submitted_ns = now_ns;
  record.wake_ns = record.spec.not_before_ns;
  for (const TaskSlot before : record.spec.after) {
    const TaskRecord& predecessor = tasks_[before];
    if (!predecessor.used ||
        (IsTerminal(predecessor.state) && predecessor.state != TaskState::kSucceeded)) {
      record.predecessor_failed = true;
    } else if (!IsTerminal(predecessor.state)) {
      record.waits_for.push_back(before);
    }
  }
  tasks_[slot] = std::move(record);
  waiting_.push_back(slot);
}

void Ledger::Cancelled(TaskSlot slot, EndCause cause, int64_t now_ns) {
  if (tasks_[slot].cancel == EndCause::kNone) {
    tasks_[slot].cancel = cause;
    tasks_[slot].cancelled_ns = now_ns;
    tasks_[slot].cancelled_attempt = scheduler_->attempt(slot);
  }
}

void Ledger::Began(TaskSlot slot, int64_t started_ns) {
  TaskRecord& task = tasks_[slot];
  task.ran = true;
  task.started_ns = task.started_ns < 0 ? started_ns : std::min(task.started_ns, started_ns);
}

void Ledger::LeftLane(TaskSlot slot, EndCause reported, int64_t run_ns) {
  TaskRecord& task = tasks_[slot];
  task.worker = kNone;
  task.reported = reported;
  task.reported_run_ns = run_ns;
}

void Ledger::LostReservation(TaskSlot slot) {
  tasks_[slot].starting = false;
  tasks_[slot].reserved_by = kNone;
  Queue(slot, /*put_back=*/true);
}

void Ledger::Sync(int64_t now_ns) {
  const uint64_t order = last_order_ + 1;
  for (size_t i = 0; i < waiting_.size();) {
    const TaskSlot slot = waiting_[i];
    TaskRecord& task = tasks_[slot];
    if (scheduler_->state(slot) != TaskState::kQueued) {
      ++i;
      continue;
    }
    Check(task.wake_ns <= now_ns, "a delayed task is not queued before its time");
    Check(!task.predecessor_failed, "a task whose predecessor failed is not queued");
    for (const TaskSlot before : task.waits_for) {
      Check(scheduler_->state(before) == TaskState::kSucceeded,
            "a task is not queued before its predecessors succeeded");
    }
    waiting_[i] = waiting_.back();
    waiting_.pop_back();
    task.state = TaskState::kQueued;
    task.order = order;  // those that come together come in any order
    Queue(slot, /*put_back=*/false);
  }
  last_order_ = order;
}

void Ledger::Queue(TaskSlot slot, bool put_back) {
  const TaskRecord& task = tasks_[slot];
  Ring& ring = rings_[RingOf(task.spec)];
  // Where those stand who have used what they have to their credit.
  int64_t level = std::numeric_limits<int64_t>::min();
  for (const auto& [client, flow] : ring) {
    if (!IsHeld(client)) {
      level = std::max(level, flow.served + flow.credit);
    }
  }
  auto [it, entered] = ring.try_emplace(task.spec.client);
  Flow& flow = it->second;
  if (entered) {
    // At the end of the ring, or in front of it with the turn that it had.
    flow.served = (level == std::numeric_limits<int64_t>::min() ? 0 : level) - (put_back ? 1 : 0);
  } else if (put_back) {
    --flow.served;
    ++flow.credit;
  }
  flow.queued.emplace(task.order, slot);
}

void Ledger::Unqueue(TaskSlot slot) {
  const TaskRecord& task = tasks_[slot];
  const auto ring = rings_.find(RingOf(task.spec));
  Check(ring != rings_.end(), "a task that leaves the queue was in it");
  const auto flow = ring->second.find(task.spec.client);
  Check(flow != ring->second.end() && flow->second.queued.erase({task.order, slot}) == 1,
        "a task that leaves the queue was in it");
  if (flow->second.queued.empty()) {
    ring->second.erase(flow);
    if (ring->second.empty()) {
      rings_.erase(ring);
    }
  }
}

void Ledger::Abandon(TaskSlot slot) {
  const TaskRecord& task = tasks_[slot];
  Flow& flow = rings_.at(RingOf(task.spec)).at(task.spec.client);
  const bool alone = flow.queued.size() == 1;
  Unqueue(slot);
  // If the others came since, they may have found the flow empty and without the turns it had.
  if (!alone && flow.queued.begin()->first > read_order_) {
    flow.served += flow.credit;
  }
}

void Ledger::HoldClient(ClientKey client, bool held) {
  if (held == IsHeld(client)) {
    return;
  }
  if (held) {
    held_.insert(client);
    return;
  }
  held_.erase(client);
  for (auto& [key, ring] : rings_) {
    const auto it = ring.find(client);
    if (it == ring.end()) {
      continue;
    }
    // It comes back to the end of the ring, with what it has to its credit.
    int64_t level = std::numeric_limits<int64_t>::min();
    for (const auto& [other, flow] : ring) {
      if (other != client && !IsHeld(other)) {
        level = std::max(level, flow.served + flow.credit);
      }
    }
    if (level != std::numeric_limits<int64_t>::min()) {
      it->second.served = level - it->second.credit;
    }
  }
}

const Ledger::RingKey* Ledger::BestRing(PoolKey pool, bool dedicated) const {
  auto it = rings_.lower_bound({pool, dedicated, std::numeric_limits<int64_t>::min()});
  for (; it != rings_.end(); ++it) {
    const auto& [ring_pool, ring_dedicated, priority] = it->first;
    if (ring_pool != pool || ring_dedicated != dedicated) {
      break;
    }
    if (std::any_of(it->second.begin(), it->second.end(),
                    [this](const auto& flow) { return !IsHeld(flow.first); })) {
      return &it->first;
    }
  }
  return nullptr;
}

void Ledger::Choose(TaskSlot slot) {
  const TaskRecord& task = tasks_[slot];
  Check(task.state == TaskState::kQueued && !task.starting, "the chosen task was queued");
  Check(!IsHeld(task.spec.client), "nothing of a client that is held begins");
  const RingKey* best = BestRing(task.spec.pool, task.spec.dedicated);
  Check(best != nullptr && *best == RingOf(task.spec), "a task of the highest priority is chosen");
  Ring& ring = rings_.at(*best);
  Flow& flow = ring.at(task.spec.client);
  Check(flow.queued.begin()->first == task.order, "the first of a client's tasks is chosen");
  ++flow.served;
  flow.credit -= flow.credit > 0 ? 1 : 0;
  int64_t credit = 0;
  int64_t least = flow.served;
  for (const auto& [client, other] : ring) {
    if (IsHeld(client)) {
      continue;
    }
    least = std::min(least, other.served);
    credit = std::max(credit, other.credit);
  }
  Check(flow.served - least <= kMaxLead + credit, "no client gets ahead of another");
  Unqueue(slot);
}

void Ledger::Apply(const Action& action, int64_t now_ns) {
  switch (action.kind) {
    case Action::Kind::kDispatch:
      ApplyDispatch(action, now_ns);
      return;
    case Action::Kind::kStartDedicated: {
      TaskRecord& task = tasks_[action.task];
      PoolRecord& pool = pools_.at(task.spec.pool);
      Choose(action.task);
      Check(task.spec.dedicated, "only a dedicated task gets a worker of its own");
      Check(!pool.paused && !pool.removed, "nothing starts in a paused or removed pool");
      Check(++pool.dedicated <= pool.limits.max_dedicated, "dedicated workers are limited");
      task.starting = true;
      return;
    }
    case Action::Kind::kAskToStop:
    case Action::Kind::kKillWorker: {
      TaskRecord& task = tasks_[action.task];
      Check(task.state == TaskState::kRunning, "only a running task is stopped");
      // A kill stands once it is decided, even if the task ends before the engine reads of it.
      Check(task.worker == action.worker ||
                (task.worker == kNone && action.kind == Action::Kind::kKillWorker),
            "a task is stopped where it runs");
      CheckCause(task, action.cause, now_ns);
      task.asked = true;
      return;
    }
    case Action::Kind::kStateChanged:
      ApplyStateChange(action, now_ns);
      return;
    case Action::Kind::kRetryScheduled:
      ApplyRetry(action, now_ns);
      return;
    case Action::Kind::kRevoke:
      Check(tasks_[action.task].worker == action.worker, "a task is taken back from its lane");
      tasks_[action.task].revoking = true;
      return;
    case Action::Kind::kWorkerIdle: {
      const auto it = workers_->find(action.worker);
      if (it == workers_->end()) {
        return;  // its death was reported since
      }
      Check(it->second->assigned == 0, "an idle worker has nothing in its lane");
      Check(!it->second->idle_reported, "a worker becomes idle once");
      return;
    }
    case Action::Kind::kWorkerRests:
      Check(action.at_ns > now_ns && action.at_ns <= now_ns + kLongestRestNs,
            "a rest lasts a while, not for ever");
      return;
  }
}

void Ledger::ApplyDispatch(const Action& action, int64_t now_ns) {
  TaskRecord& task = tasks_[action.task];
  const PoolRecord& pool = pools_.at(task.spec.pool);
  Check(task.worker == kNone, "a task is in one lane at most");
  Check(action.attempt == task.attempt, "a dispatch names the attempt");
  Check(task.cancel == EndCause::kNone, "a cancelled task is not dispatched");
  Check(!pool.paused && !pool.removed, "nothing starts in a paused or removed pool");
  const auto it = workers_->find(action.worker);
  Check(it != workers_->end(), "a dispatch goes to a worker that is not known to be dead");
  const FakeWorker& worker = *it->second;
  Check(worker.pool() == task.spec.pool && !worker.retired && !worker.killed,
        "a worker takes tasks of its pool");
  Check(worker.dedicated() == task.spec.dedicated, "a dedicated task has a worker of its own");
  if (task.spec.dedicated) {
    Check(task.starting && task.reserved_by == action.worker, "a dedicated worker has its task");
    Check(action.notify_start, "a dedicated task announces its start");
  } else {
    Choose(action.task);
    Check(worker.assigned < scheduler_->lane_depth(task.spec.pool), "a lane is not too deep");
    Check(action.notify_start ||
              (scheduler_->lane_depth(task.spec.pool) > 1 && task.spec.timeout_ns == 0),
          "a start that matters is announced");
    if (worker.assigned > 0) {
      Check(now_ns - worker.moved_ns <= pool.limits.lane_target_ns,
            "nothing goes behind a long task");
      for (const auto& [key, other] : *workers_) {
        Check(other->pool() != worker.pool() || other->dedicated() || other->retired ||
                  other->killed || other->assigned > 0 || other->suspect || key == worker.key(),
              "an idle worker comes first");
      }
    }
  }
  task.starting = false;
  task.reserved_by = kNone;
  task.state = TaskState::kDispatched;
  task.worker = action.worker;
  task.reported = EndCause::kNone;
  task.started_ns = -1;
  task.asked = false;
  task.revoking = false;
}

void Ledger::ApplyStateChange(const Action& action, int64_t now_ns) {
  TaskRecord& task = tasks_[action.task];
  Check(!IsTerminal(task.state), "nothing is said of a task after its end");
  Check(action.attempt == task.attempt, "a state change names the attempt");
  if (action.state == TaskState::kRunning) {
    Check(task.state == TaskState::kDispatched && task.started_ns >= 0,
          "a task runs when its start was reported");
    task.state = TaskState::kRunning;
    return;
  }
  if (action.state == TaskState::kQueued) {
    Check(task.worker == kNone && task.reported == EndCause::kNone,
          "a task is queued again when it came back from its lane");
    task.state = TaskState::kQueued;
    const auto it = workers_->find(action.worker);
    if (task.spec.dedicated && it != workers_->end() && !it->second->retired) {
      task.starting = true;
      task.reserved_by = action.worker;
    } else {
      Queue(action.task, /*put_back=*/true);
    }
    return;
  }
  Check(IsTerminal(action.state), "a state change is one that is to be announced");
  CheckEnd(task, action, now_ns);
  if (task.state == TaskState::kQueued && !task.starting) {
    Abandon(action.task);
  }
  if (task.state == TaskState::kWaiting) {
    std::erase(waiting_, action.task);
  }
  task.state = action.state;
  task.starting = false;
  task.reserved_by = kNone;
  for (TaskRecord& other : tasks_) {
    if (std::erase(other.waits_for, action.task) > 0 && task.state != TaskState::kSucceeded) {
      other.predecessor_failed = true;
    }
  }
}

void Ledger::CheckEnd(const TaskRecord& task, const Action& action, int64_t now_ns) const {
  Check(task.worker == kNone, "a task that ended has left its lane");
  for (const auto& [key, worker] : *workers_) {
    Check(!worker->Holds(action.task), "a task that ended is in no lane");
  }
  Check(task.cancel == EndCause::kNone || action.state == TaskState::kCancelled,
        "a cancelled task ends CANCELLED");
  CheckCause(task, action.cause, now_ns);
  Check(!ShouldRetry(task, action.cause), "an attempt that is to be repeated is repeated");
  TaskState expected = TaskState::kCancelled;
  switch (action.cause) {
    case EndCause::kCompleted:
      expected = TaskState::kSucceeded;
      break;
    case EndCause::kTaskError:
    case EndCause::kInternalLimit:
      expected = TaskState::kFailed;
      break;
    case EndCause::kWorkerDied:
    case EndCause::kOutOfMemory:
    case EndCause::kProtocolViolation:
    case EndCause::kStartFailed:
      expected = TaskState::kCrashed;
      break;
    case EndCause::kTimeout:
    case EndCause::kQueueExpired:
      expected = TaskState::kTimedOut;
      break;
    default:
      break;
  }
  Check(action.state == expected, "a cause and a state belong together");
}

void Ledger::CheckCause(const TaskRecord& task, EndCause cause, int64_t now_ns) const {
  switch (cause) {
    case EndCause::kCancelledByClient:
    case EndCause::kClientGone:
    case EndCause::kPoolDeleted:
      Check(task.cancel != EndCause::kNone, "a task is cancelled when somebody cancelled it");
      return;
    case EndCause::kDependencyFailed:
      Check(task.predecessor_failed || !task.waits_for.empty(),
            "a task falls with a predecessor only");
      for (const TaskSlot before : task.waits_for) {
        Check(tasks_[before].state != TaskState::kSucceeded, "a successful task fells nobody");
      }
      return;
    case EndCause::kQueueExpired:
      Check(task.spec.queue_timeout_ns > 0 && !task.ran &&
                now_ns >= task.submitted_ns + task.spec.queue_timeout_ns,
            "a task expires in the queue when it was there too long");
      return;
    case EndCause::kTimeout:
      Check(task.spec.timeout_ns > 0 && task.started_ns >= 0 &&
                now_ns >= task.started_ns + task.spec.timeout_ns,
            "a task times out when it ran too long");
      return;
    case EndCause::kTaskError:
      Check(task.reported == EndCause::kTaskError || task.reported == EndCause::kCancelledByClient,
            "a task fails when its worker says so");
      return;
    case EndCause::kCompleted:
      Check(task.reported == EndCause::kCompleted, "a task succeeds when its worker says so");
      Check(!task.asked || task.reported_run_ns < task.spec.timeout_ns,
            "a task that was stopped does not succeed, but for one that ended in time");
      return;
    default:
      Check(cause != EndCause::kNone && task.reported == cause,
            "a task ends for the cause that was reported");
  }
}

bool Ledger::ShouldRetry(const TaskRecord& task, EndCause cause) const {
  uint32_t wish = 0;
  if (cause == EndCause::kTaskError) {
    wish = scheduler::kRetryOnTaskError;
  } else if (cause == EndCause::kOutOfMemory) {
    wish = scheduler::kRetryOnOutOfMemory;
  } else if (cause == EndCause::kTimeout) {
    wish = scheduler::kRetryOnTimeout;
  } else if (IsCrash(cause) || cause == EndCause::kStartFailed) {
    wish = scheduler::kRetryOnCrash;
  }
  return (task.spec.retry.on & wish) != 0 && task.attempt < task.spec.retry.max_attempts &&
         !(IsCrash(cause) && task.crashes + 1 >= pools_.at(task.spec.pool).limits.max_crashes);
}

void Ledger::ApplyRetry(const Action& action, int64_t now_ns) {
  TaskRecord& task = tasks_[action.task];
  Check(!IsTerminal(task.state) && task.worker == kNone, "a task is retried after its attempt");
  Check(action.attempt == task.attempt, "a retry names the attempt that ended");
  Check(task.cancel == EndCause::kNone || action.attempt < task.cancelled_attempt,
        "a cancelled task is not retried");
  CheckCause(task, action.cause, now_ns);
  Check(ShouldRetry(task, action.cause), "a task is retried when its policy says so");
  task.crashes += IsCrash(action.cause) ? 1 : 0;
  ++task.attempt;
  task.starting = false;
  task.reserved_by = kNone;
  task.reported = EndCause::kNone;
  task.started_ns = -1;
  task.asked = false;
  task.ran = true;  // its queue timeout is over for good
  task.wake_ns = action.at_ns;
  if (action.at_ns > now_ns) {
    task.state = TaskState::kWaiting;
    waiting_.push_back(action.task);
  } else {
    task.state = TaskState::kQueued;
    task.order = ++last_order_;
    Queue(action.task, /*put_back=*/false);
  }
}

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
