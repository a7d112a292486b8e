// The engine's part: it reads lanes, tells the scheduler, and carries out what it answers.

#include <cstdint>
#include <cstdio>
#include <utility>
#include <vector>

#include "server/scheduler/action.h"
#include "server/scheduler/check.h"
#include "server/scheduler/types.h"
#include "tests/server/scheduler/describe.h"
#include "tests/simulation/history.h"

namespace prefork::simulation {

using scheduler::Check;

void History::GiveAnswers(FakeWorker& worker) {
  while (!worker.answers.empty()) {
    const Answer answer = worker.answers.front();
    worker.answers.pop_front();
    if (trace_) {
      std::printf("  w%u %s %u\n", worker.key(), answer.revoked ? "gives back" : "keeps",
                  answer.task);
    }
    if (answer.revoked) {
      --worker.assigned;
      worker.suspect = worker.assigned == 0 && now_ns_ - worker.moved_ns >= kUnclaimedNs;
      ledger_.LeftLane(answer.task, EndCause::kNone, 0);
      scheduler_.Revoked(worker.key(), answer.task, now_ns_);
    } else {
      if (ledger_.task(answer.task).worker == worker.key()) {  // else it never fitted into the lane
        ledger_.Began(answer.task, now_ns_);
      }
      scheduler_.RevokeRefused(worker.key(), answer.task, now_ns_);
    }
    Told();
  }
}

void History::Deliver(FakeWorker& worker, bool everything) {
  do {
    GiveAnswers(worker);
    if (worker.up.empty()) {
      return;
    }
    const Message message = worker.up.front();
    worker.up.pop_front();
    if (message.kind == Message::Kind::kStarted) {
      ledger_.Began(message.task, message.started_ns);
      scheduler_.Started(worker.key(), message.task, message.started_ns, now_ns_);
    } else {
      --worker.assigned;
      worker.moved_ns = now_ns_;
      ledger_.LeftLane(message.task, message.cause, message.run_ns);
      scheduler_.Finished(worker.key(), message.task, message.cause, message.run_ns, now_ns_);
    }
    if (trace_) {
      std::printf("  w%u told of %u\n", worker.key(), message.task);
    }
    Told();
    if (!style_.batches) {
      ReadActions();
    }
  } while (everything);
}

void History::ReportDeath(WorkerKey key) {
  FakeWorker& worker = *Find(key);
  Deliver(worker, /*everything=*/true);
  while (worker.dedicated()) {
    ReadActions();  // for whom it is reserved is known then
    if (worker.up.empty() && worker.answers.empty()) {
      break;
    }
    Deliver(worker, /*everything=*/true);
  }
  Check(worker.assigned == worker.lane_size(), "a drained lane holds what was not reported");
  if (trace_) {
    std::printf("  death of w%u reported\n", key);
  }
  for (TaskSlot slot = 0; slot < kSlots; ++slot) {
    TaskRecord& task = ledger_.task(slot);
    if (task.used && task.reserved_by == key) {
      task.reported = EndCause::kStartFailed;
    } else if (task.used && task.worker == key) {
      const bool ran = slot == worker.running();
      ledger_.LeftLane(slot,
                       ran                  ? worker.death()
                       : worker.dedicated() ? EndCause::kStartFailed
                                            : EndCause::kNone,
                       0);
    }
  }
  if (worker.dedicated()) {
    --ledger_.pools().at(worker.pool()).dedicated;
  }
  const TaskSlot running = worker.running();
  const EndCause death = worker.death();
  workers_.erase(key);
  scheduler_.WorkerDied(key, running, death, now_ns_);
  Told();
}

void History::ReadActions() {
  for (;;) {
    scheduler_.TakeActions(now_ns_, &actions_);
    if (actions_.empty()) {
      // News may have been so late that a deadline has passed already.
      if (scheduler_.NextDeadlineNs() > now_ns_) {
        break;
      }
      scheduler_.AdvanceTo(now_ns_);
      Told();
      continue;
    }
    // Carrying out may tell the scheduler something, so the list is held still.
    const std::vector<Action> actions = std::exchange(actions_, {});
    for (const Action& action : actions) {
      if (trace_) {
        std::printf("    -> %s\n", scheduler::Describe(action).c_str());
      }
      ledger_.Apply(action, now_ns_);
      CarryOut(action);
    }
    for (const auto& [key, worker] : workers_) {
      if (!random_.Percent(style_.late)) {
        GiveAnswers(*worker);
      }
    }
  }
  ledger_.CheckBatch(now_ns_);
  for (auto& [key, pool] : ledger_.pools()) {
    pool.quiet = pool.paused;
  }
}

void History::CarryOut(const Action& action) {
  FakeWorker* worker = Find(action.worker);
  switch (action.kind) {
    case Action::Kind::kDispatch:
      if (worker->assigned++ == 0) {
        worker->moved_ns = now_ns_;
      }
      worker->idle_reported = false;
      worker->suspect = false;
      if (worker->lane_size() >= style_.lane_capacity) {
        worker->answers.push_back(Answer{.task = action.task, .revoked = true});
      } else {
        worker->Push(action.task, action.notify_start);
      }
      return;
    case Action::Kind::kRevoke:
      worker->answers.push_back(
          Answer{.task = action.task, .revoked = worker->TakeBack(action.task)});
      return;
    case Action::Kind::kAskToStop:
      Check(worker->lane_size() == (worker->Holds(action.task) ? 1U : 0U),
            "a task is asked to stop when it is alone");
      return;
    case Action::Kind::kKillWorker: {
      const TaskRecord& task = ledger_.task(action.task);
      const int64_t since_ns = task.cancel != EndCause::kNone
                                   ? task.cancelled_ns
                                   : task.started_ns + task.spec.timeout_ns;
      Check(worker->lane_size() == (worker->Holds(action.task) ? 1U : 0U) ||
                now_ns_ - since_ns >= kLateNewsNs,
            "a worker is killed when its task is alone, or after a fair time");
      worker->killed = true;
      if (!worker->dead()) {
        worker->Die(EndCause::kWorkerDied);
      }
      return;
    }
    case Action::Kind::kStartDedicated:
      starts_.push_back(action.task);
      return;
    case Action::Kind::kWorkerIdle:
      if (worker != nullptr) {
        worker->idle_reported = true;
        if ((worker->retired || worker->dedicated()) && !worker->dead()) {
          worker->Die(EndCause::kWorkerDied);
        }
      }
      return;
    case Action::Kind::kStateChanged:
    case Action::Kind::kRetryScheduled:
    case Action::Kind::kWorkerRests:
      return;
  }
}

}  // namespace prefork::simulation
