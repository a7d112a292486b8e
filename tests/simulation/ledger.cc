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
//
// What was told is kept here; ledger_queue.cc has the order in the queue, ledger_actions.cc what the
// scheduler does, ledger_ends.cc how attempts end, ledger_batch.cc what holds after each batch.

#include "tests/simulation/ledger.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "server/scheduler/check.h"
#include "server/scheduler/types.h"

namespace prefork::simulation {

using scheduler::Check;
using scheduler::IsTerminal;

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

}  // namespace prefork::simulation
