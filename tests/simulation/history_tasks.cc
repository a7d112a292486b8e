// Clients: they submit tasks, cancel them, stop reading and go on, and tasks are forgotten.

#include <cstdint>
#include <cstdio>
#include <utility>

#include "absl/status/status.h"
#include "server/scheduler/check.h"
#include "server/scheduler/types.h"
#include "tests/simulation/history.h"

namespace prefork::simulation {

using scheduler::Check;
using scheduler::IsTerminal;

void History::SubmitTask() {
  const TaskSlot slot = AnySlot();
  if (ledger_.task(slot).used) {
    return;
  }
  TaskRecord record = Behaviour(random_.Of(open_pools_));
  if (trace_) {
    std::printf("  submit %u to pool %u\n", slot, record.spec.pool);
  }
  const absl::Status status = scheduler_.Submit(slot, record.spec, now_ns_);
  const scheduler::SchedulerCounts counts = scheduler_.counts(record.spec.pool);
  if (!status.ok()) {
    Check(status.code() == absl::StatusCode::kResourceExhausted &&
              counts.waiting + counts.queued + counts.dispatched + counts.running ==
                  ledger_.pools().at(record.spec.pool).limits.max_queued,
          "only a full pool refuses a task");
    return;
  }
  ledger_.Submitted(slot, std::move(record), now_ns_);
  Told();
}

TaskRecord History::Behaviour(PoolKey pool) {
  TaskRecord record;
  record.run_ns = style_.tiny && !random_.OneIn(50) ? random_.Between(0, 20 * kUs)
                                                    : random_.Between(0, 50 * kMs);
  record.hangs = random_.OneIn(40);
  record.obeys = random_.OneIn(2);
  record.outcome = random_.Percent(80)   ? EndCause::kCompleted
                   : random_.Percent(80) ? EndCause::kTaskError
                   : random_.OneIn(2)    ? EndCause::kCancelledByClient
                                         : EndCause::kInternalLimit;
  TaskSpec& spec = record.spec;
  spec.pool = pool;
  spec.client = random_.Below(style_.clients);
  spec.priority = static_cast<int32_t>(random_.Below(style_.priorities)) - 1;
  spec.dedicated = style_.dedicated && random_.OneIn(4);
  spec.grace_ns = random_.OneIn(3) ? 0 : random_.Between(1, 20 * kMs);
  if (style_.timeouts) {
    spec.timeout_ns = random_.OneIn(3) ? random_.Between(1, 30 * kMs) : 0;
    spec.queue_timeout_ns = random_.OneIn(5) ? random_.Between(1, 50 * kMs) : 0;
  }
  if (random_.OneIn(12)) {
    spec.not_before_ns = now_ns_ + random_.Between(-kMs, 20 * kMs);
  }
  if (style_.retries) {
    spec.retry = {.max_attempts = 1 + random_.Below(5),
                  .on = random_.Below(16),
                  // What is queued again at once mixes with the other events of a batch.
                  .backoff_ns = style_.batches ? random_.Between(1, 5 * kMs)
                                               : random_.Between(0, 1) * random_.Between(0, kMs),
                  .backoff_multiplier = 1.5,
                  .max_backoff_ns = 10 * kMs};
  }
  if (style_.after && random_.OneIn(3)) {
    for (uint32_t i = random_.Below(3) + 1; i > 0; --i) {
      // Mostly unfinished ones, as the engine names them, but whatever it names has to be handled.
      const TaskSlot before = AnySlot();
      if (!IsTerminal(ledger_.task(before).state) || random_.OneIn(10)) {
        spec.after.push_back(before);
      }
    }
  }
  return record;
}

void History::CancelTask() {
  const TaskSlot slot = AnySlot();
  if (!ledger_.task(slot).used || IsTerminal(scheduler_.state(slot))) {
    return;
  }
  const EndCause cause = random_.OneIn(4) ? EndCause::kClientGone : EndCause::kCancelledByClient;
  const bool force = random_.OneIn(4);
  if (trace_) {
    std::printf("  cancel %u%s\n", slot, force ? " with force" : "");
  }
  ledger_.Cancelled(slot, cause, now_ns_);
  scheduler_.Cancel(slot, cause, force, now_ns_);
  Told();
}

void History::HoldOrReleaseClient() {
  const ClientKey client = random_.Below(style_.clients);
  const bool held = !ledger_.IsHeld(client) && random_.OneIn(2);
  if (trace_) {
    std::printf("  %s client %u\n", held ? "hold" : "release", client);
  }
  ReadActions();  // what was put back meanwhile has its place in the queue then
  ledger_.HoldClient(client, held);
  scheduler_.HoldClient(client, held, now_ns_);
  Told();
}

void History::ForgetTask() {
  for (TaskSlot slot = 0; slot < kSlots; ++slot) {
    TaskRecord& task = ledger_.task(slot);
    if (task.used && IsTerminal(task.state) && !random_.OneIn(4)) {
      scheduler_.ForgetTask(slot);
      task = TaskRecord();
    }
  }
}

}  // namespace prefork::simulation
