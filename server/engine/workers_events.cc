// What pools tell: the life of a worker, from its fork to its end.
//
// Death. The pool reports an exit after everything the worker wrote can be read. The rest of the
// lane is read, then the claim words tell what ran: a worker claims one task at a time, so the
// oldest claimed entry is the one that the death ended. The others never started, and the scheduler
// puts them back. The worker's own word about what it runs (LaneStatus) is not asked.
//
// Trust. Whose output it is, and that it wants room for a value, is the worker's word: it may only
// speak for tasks that were given to it, and only ask while one is running.
#include <sys/wait.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "server/engine/workers.h"

namespace prefork::engine {
namespace {

using scheduler::EndCause;

EndCause CauseOf(const pool::WorkerExit& exit, bool dedicated) {
  if (exit.out_of_memory) return EndCause::kOutOfMemory;
  if (exit.reason == pool::ExitReason::kProtocolViolation) return EndCause::kProtocolViolation;
  // A dedicated process says with its exit code how its task ended.
  if (dedicated && exit.wait_status && WIFEXITED(*exit.wait_status)) {
    return WEXITSTATUS(*exit.wait_status) == 0 ? EndCause::kCompleted : EndCause::kTaskError;
  }
  return EndCause::kWorkerDied;
}

// Is this the answer of a worker that needs nothing any more?
bool IsEnding(const absl::Status& status) {
  return absl::IsFailedPrecondition(status) || absl::IsAborted(status);
}

}  // namespace

void Workers::OnStarting(PoolEntry& pool, pool::Worker& worker) {
  table_.Add(pool.key, worker);
  pool.dirty = true;
  reporter_.Emit(pool, worker, WorkerState::kStarting);
}

void Workers::OnReady(PoolEntry& pool, pool::Worker& worker) {
  WorkerLink& link = *Find(worker.tag());
  link.ready = true;
  link.announced = worker.lane().up().PrepareSleep();
  if (!link.announced) lanes_.Activate(link);
  pool.dirty = true;
  pool.was_ready |= !worker.dedicated();
  TaskSlot for_task = kNone;
  if (worker.dedicated()) {
    for_task = core_->tasks.Find(worker.dedicated_cookie());
    // Its task has ended and was forgotten meanwhile: nothing to run.
    if (for_task == kNone) return pool.pool->RetireWorker(worker);
  }
  reporter_.Emit(pool, worker, WorkerState::kIdle);
  core_->scheduler.WorkerReady(link.key, pool.key, for_task, core_->now_ns);
  if (!worker.dedicated() && pool.pool->WantsRetirement(worker)) OnRetirementWanted(worker);
}

void Workers::OnRetirementWanted(pool::Worker& worker) {
  WorkerLink& link = *Find(worker.tag());
  if (link.retiring || !link.ready) return;
  link.retiring = true;
  PoolEntry& pool = *pools_->At(link.pool);
  pool.dirty = true;
  reporter_.Emit(pool, worker, WorkerState::kRetiring);
  core_->scheduler.RetireWorker(link.key, core_->now_ns);
}

void Workers::OnLaneReadable(pool::Worker& worker) {
  WorkerLink* const link = Find(worker.tag());
  if (link == nullptr) return;
  lanes_.Activate(*link);
  lanes_.Drain(*link);
}

void Workers::OnOutput(PoolEntry& pool, pool::Worker& worker, int stream, uint64_t task_id,
                       std::string_view bytes) {
  const TaskSlot slot = core_->tasks.Find(task_id);
  if (slot == kNone) return;
  const TaskRecord& record = core_->tasks.at(slot);
  // Which task runs is the worker's word: it may only speak for tasks that were given to it.
  if (record.pool != pool.key || record.worker_index != worker.index() ||
      record.worker_generation != worker.generation()) {
    return;
  }
  life_->AddOutput(slot, stream == 1 ? OutputStream::kStdout : OutputStream::kStderr, bytes,
                   pool.spec().max_output_bytes);
}

void Workers::OnSegmentRequest(pool::Worker& worker, uint64_t size_bytes) {
  WorkerLink& link = *Find(worker.tag());
  const TaskSlot running = link.Running();
  absl::Status why;
  if (running == kNone) {
    why = absl::FailedPreconditionError("no task is running");
  } else if (size_bytes == 0 || size_bytes > core_->options.max_payload_bytes) {
    why = absl::InvalidArgumentError(absl::StrCat(
        "a value of ", size_bytes, " bytes; the largest is ", core_->options.max_payload_bytes));
  } else {
    const uint32_t uid = core_->tasks.at(running).uid;
    absl::StatusOr<shm::SegmentRef> segment = core_->segments->Lease(size_bytes, uid);
    if (absl::IsResourceExhausted(segment.status()) && life_->EvictSegments(size_bytes)) {
      segment = core_->segments->Lease(size_bytes, uid);
    }
    why = segment.ok() ? worker.GrantSegment(*segment) : segment.status();
    if (why.ok() || IsEnding(why)) return;
  }
  const absl::Status denied = worker.DenySegment(size_bytes, std::string(why.message()));
  if (denied.ok() || IsEnding(denied)) return;
  // It waits for an answer that it would never get.
  worker.Kill(pool::ExitReason::kTaskStopped,
              absl::StrCat("its request for a segment could not be answered: ", denied.message()));
}

// The one task that the death of the worker ends.
TaskSlot Workers::TaskAtDeath(WorkerLink& link) const {
  // The claim words of a worker that wrote nonsense prove nothing: it may have begun its next task.
  if (link.poisoned) {
    const InFlight* const next = link.Front();
    return next == nullptr ? kNone : next->slot;
  }
  return link.Running();
}

void Workers::OnExited(PoolEntry& pool, pool::Worker& worker, const pool::WorkerExit& exit) {
  WorkerLink& link = *Find(worker.tag());
  lanes_.Drain(link);  // all of it: nobody writes any more
  const TaskSlot running = link.ready ? TaskAtDeath(link) : kNone;
  if (running != kNone) {
    life_->NoteWorkerExit(running, exit);
    const bool by_client = exit.wait_status && WIFSIGNALED(*exit.wait_status) &&
                           WTERMSIG(*exit.wait_status) == link.client_signal;
    if (by_client) life_->NoteHint(running, "a client had that signal sent");
  }
  reporter_.Emit(pool, worker, WorkerState::kExited, &exit,
                 running == kNone ? 0 : core_->tasks.at(running).id);
  if (link.ready) {
    core_->scheduler.WorkerDied(link.key, running, CauseOf(exit, worker.dedicated()),
                                core_->now_ns);
  }
  pool.dirty = true;
  lanes_.Forget(link);
  dispatcher_.Forget(link);
  table_.Remove(link.key);
}

void Workers::OnDedicatedFailed(uint64_t task_id, const absl::Status& why) {
  const TaskSlot slot = core_->tasks.Find(task_id);
  if (slot == kNone) return;
  life_->NoteHint(slot, std::string(why.message()));
  core_->scheduler.DedicatedFailed(slot, core_->now_ns);
}

}  // namespace prefork::engine
