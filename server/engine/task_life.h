#ifndef PREFORK_SERVER_ENGINE_TASK_LIFE_H_
#define PREFORK_SERVER_ENGINE_TASK_LIFE_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "server/engine/core.h"
#include "server/engine/lane_drainer.h"
#include "server/engine/worker_link.h"
#include "server/pool/pool_observer.h"

namespace prefork::engine {

// Keeps the records of tasks true and tells everybody who listens: the log, the task's session,
// waiters. Decides nothing; the scheduler's word comes in as calls. The life of a record is drawn in
// task_life.cc.
class TaskLife {
 public:
  // `core` is not owned. `on_end` is told each terminal task once, before anybody else.
  TaskLife(Core* core, std::function<void(const TaskRecord&)> on_end)
      : core_(core), on_end_(std::move(on_end)) {}

  // --- what the scheduler says ---
  // The record is complete and the scheduler has it.
  void Accepted(TaskSlot slot);
  void Dispatched(TaskSlot slot, uint32_t attempt, const WorkerLink& link);
  void StateChanged(TaskSlot slot, scheduler::TaskState state, scheduler::EndCause cause);
  void RetryScheduled(TaskSlot slot, uint32_t attempt, scheduler::EndCause cause, int64_t at_ns);

  // --- what is known of the attempt ---
  void NoteStart(TaskSlot slot, int64_t started_ns);  // monotonic
  void NoteFinished(TaskSlot slot, FinishedReport report);
  void NoteWorkerExit(TaskSlot slot, const pool::WorkerExit& exit);
  // Why it could not run; part of the report if the attempt ends now.
  void NoteHint(TaskSlot slot, std::string hint);

  // --- what the task says ---
  void AddOutput(TaskSlot slot, OutputStream stream, std::string_view bytes, size_t max_bytes);
  void AddProgress(TaskSlot slot, ProgressReport progress);
  void AddPartial(TaskSlot slot, std::string value, std::string content_type);

  // --- the end ---
  // The sessions have these ends now: keep the tasks for those who ask later.
  void Delivered(const std::vector<TaskSlot>& slots);
  // Keeps a terminal task that no session waits for.
  void Keep(TaskSlot slot);
  // Forgets tasks whose time is over or that exceed the bounds.
  void EvictExpired();
  // Forgets finished tasks that hold segments, oldest first, until `bytes` were freed. False: there
  // were not enough.
  bool EvictSegments(size_t bytes);
  // Forgets a terminal task for good. It is neither kept nor attached.
  void Forget(TaskSlot slot);

 private:
  ExitReport& Draft(TaskRecord& record);
  EventLog::Entry EntryOf(const TaskRecord& record, EventRecord::Kind kind) const;
  void Emit(TaskSlot slot, const TaskRecord& record);
  void EmitOther(TaskSlot slot, EventRecord event, size_t bytes);
  void Finish(TaskSlot slot, TaskRecord& record);
  std::string Hint(const TaskRecord& record) const;

  Core* const core_;
  const std::function<void(const TaskRecord&)> on_end_;
};

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_TASK_LIFE_H_
