// The life of a task's record:
//
//   1. Submit adds it to the table and gives it to the scheduler; Accepted logs QUEUED.
//   2. Dispatched, StateChanged(RUNNING): where it is and since when.
//   3. The worker's last word (NoteFinished) or the end of its process (NoteWorkerExit) is noted as
//      the draft of an exit report. What it means is the scheduler's to say:
//      a. RetryScheduled: the draft is completed and becomes one of the earlier attempts;
//      b. StateChanged(terminal): it is completed and stays. A success about which nothing was
//         measured has none.
//   4. The end is logged and told: the task's session gets a reference and keeps the task until its
//      sink has taken the end; a task without session goes to FinishedTasks at once.
//      A payload that a client lent is given back first: the client may write into it from then on.
//   5. FinishedTasks says when it has to go; Forget tells the scheduler and the table.
//
// What arrives about a task after its end (late output) is kept and not announced: `finished` is the
// last event of a task.
#include "server/engine/task_life.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/engine/exit_reporter.h"
#include "server/engine/task_info.h"

namespace prefork::engine {

using scheduler::EndCause;
using scheduler::TaskState;

namespace {

// Memory that nobody has any more when the task has gone.
size_t FreedWith(const Bytes& bytes) {
  return bytes.segment().use_count() == 1 ? bytes.footprint_bytes() : 0;
}

}  // namespace

ExitReport& TaskLife::Draft(TaskRecord& record) {
  TaskOutcome& outcome = record.EnsureOutcome();
  if (!outcome.report) outcome.report = std::make_unique<ExitReport>();
  return *outcome.report;
}

EventLog::Entry TaskLife::EntryOf(const TaskRecord& record, EventRecord::Kind kind) const {
  EventLog::Entry entry;
  entry.time_ns = core_->wall_ns;
  entry.task = record.id;
  entry.pool = record.pool;
  entry.uid = record.uid;
  entry.attempt = record.attempt;
  entry.worker_index = record.worker_index;
  entry.worker_generation = record.worker_generation;
  entry.kind = kind;
  entry.state = record.state;
  entry.cause = record.cause;
  return entry;
}

void TaskLife::Emit(TaskSlot slot, const TaskRecord& record) {
  const bool terminal = scheduler::IsTerminal(record.state);
  const EventLog::Entry entry =
      EntryOf(record, terminal ? EventRecord::Kind::kFinished : EventRecord::Kind::kState);
  const uint64_t sequence = core_->log.Append(entry);
  Session* const session = core_->sessions.At(record.session);
  if (session == nullptr) return;
  if (terminal) {
    session->AddFinished(slot, sequence, entry);
  } else {
    session->AddState(slot, sequence, entry);
  }
  core_->sessions.MarkDirty(*session);
}

void TaskLife::EmitOther(TaskSlot slot, EventRecord event, size_t bytes) {
  const TaskRecord& record = core_->tasks.at(slot);
  event.task = record.id;
  event.state = record.state;
  event.attempt = event.attempt != 0 ? event.attempt : record.attempt;
  event.worker_index = record.worker_index;
  event.worker_generation = record.worker_generation;
  core_->log.Append(EntryOf(record, event.kind), &event, bytes);
  if (Session* const session = core_->sessions.At(record.session); session != nullptr) {
    session->AddOther(slot, event);
    core_->sessions.MarkDirty(*session);
  }
}

void TaskLife::Accepted(TaskSlot slot) {
  ++core_->unfinished;
  Emit(slot, core_->tasks.at(slot));
}

void TaskLife::Dispatched(TaskSlot slot, uint32_t attempt, const WorkerLink& link) {
  TaskRecord& record = core_->tasks.at(slot);
  record.state = TaskState::kDispatched;
  record.attempt = attempt;
  record.worker_index = link.worker->index();
  record.worker_generation = link.worker->generation();
  record.worker_pid = link.worker->pid();
  record.started_ns = 0;
  if (record.detail) {
    record.detail->next_attempt_ns = 0;
    record.detail->partial_results = 0;
  }
  Emit(slot, record);
}

void TaskLife::NoteStart(TaskSlot slot, int64_t started_ns) {
  TaskRecord& record = core_->tasks.at(slot);
  record.started_ns = std::max(core_->WallOf(started_ns), record.submitted_ns);
  if (record.first_started_ns == 0) record.first_started_ns = record.started_ns;
}

void TaskLife::NoteFinished(TaskSlot slot, FinishedReport report) {
  TaskRecord& record = core_->tasks.at(slot);
  NoteStart(slot, report.started_ns);
  record.finished_ns = core_->WallOf(report.finished_ns);
  const bool plain = report.outcome == shm::TaskOutcome::kSucceeded && report.cpu_ns < 0 &&
                     report.peak_rss_bytes == 0;
  if (!plain) engine::NoteFinished(report, &Draft(record));
  if (plain && report.value.empty() && report.error.empty()) return;
  TaskOutcome& outcome = record.EnsureOutcome();
  outcome.value = std::move(report.value);
  outcome.content_type = std::move(report.content_type);
  outcome.error = std::move(report.error);
}

void TaskLife::NoteWorkerExit(TaskSlot slot, const pool::WorkerExit& exit) {
  TaskRecord& record = core_->tasks.at(slot);
  if (record.started_ns == 0) NoteStart(slot, core_->now_ns);
  NoteExit(exit, &Draft(record));
}

void TaskLife::NoteHint(TaskSlot slot, std::string hint) {
  Draft(core_->tasks.at(slot)).detail = std::move(hint);
}

// What only the tables know about why a task ended.
std::string TaskLife::Hint(const TaskRecord& record) const {
  if (record.cause != EndCause::kDependencyFailed) return {};
  for (const TaskId id : record.options->after) {
    const TaskSlot slot = core_->tasks.Find(id);
    if (slot == kNone) return absl::StrCat("task ", id, " is not known any more");
    const TaskState state = core_->tasks.at(slot).state;
    if (scheduler::IsTerminal(state) && state != TaskState::kSucceeded) {
      return absl::StrCat("task ", id, " ended ", std::string(scheduler::TaskStateName(state)));
    }
  }
  return {};
}

void TaskLife::StateChanged(TaskSlot slot, TaskState state, EndCause cause) {
  TaskRecord& record = core_->tasks.at(slot);
  if (scheduler::IsTerminal(record.state)) return;
  record.state = state;
  if (scheduler::IsTerminal(state)) {
    record.cause = cause;
    Finish(slot, record);
    return;
  }
  if (state == TaskState::kRunning && record.started_ns == 0) NoteStart(slot, core_->now_ns);
  Emit(slot, record);
}

void TaskLife::RetryScheduled(TaskSlot slot, uint32_t attempt, EndCause cause, int64_t at_ns) {
  TaskRecord& record = core_->tasks.at(slot);
  record.attempt = attempt;
  if (record.finished_ns < record.started_ns) record.finished_ns = core_->wall_ns;
  ExitReport report =
      record.outcome && record.outcome->report ? std::move(*record.outcome->report) : ExitReport();
  CompleteReport(record, cause, {}, &report);
  record.outcome.reset();
  record.finished_ns = 0;
  record.state = TaskState::kQueued;
  TaskDetail& detail = record.EnsureDetail();
  detail.next_attempt_ns = at_ns;
  if (detail.earlier.size() == kMaxEarlierAttempts) detail.earlier.erase(detail.earlier.begin());
  EventRecord event;
  event.kind = EventRecord::Kind::kRetry;
  event.attempt = attempt;
  event.cause = cause;
  event.next_attempt_at = TimeOf(core_->wall_ns + std::max<int64_t>(0, at_ns - core_->now_ns));
  event.report = std::make_shared<const ExitReport>(report);
  const size_t bytes = sizeof(report) + report.detail.size() + report.stderr_tail.size();
  detail.earlier.push_back(std::move(report));
  EmitOther(slot, std::move(event), bytes);
}

void TaskLife::Finish(TaskSlot slot, TaskRecord& record) {
  if (record.finished_ns == 0) record.finished_ns = core_->wall_ns;
  const bool succeeded = record.state == TaskState::kSucceeded;
  if (!succeeded || (record.outcome && record.outcome->report)) {
    CompleteReport(record, record.cause, Hint(record), &Draft(record));
  }
  // A value that came after the task was given up is not its result.
  if (record.outcome && !succeeded && record.state != TaskState::kFailed) {
    record.outcome->value = Bytes();
  }
  --core_->unfinished;
  on_end_(record);
  record.payload.GiveBack();
  Emit(slot, record);
  if (record.session == kNone) core_->finished.Add(slot, core_->now_ns);
  if (!record.has_waiters) return;
  record.has_waiters = false;
  const TaskInfo info = MakeTaskInfo(*core_, slot);
  for (const Waiters::Done& done : core_->waiters.Take(slot)) done(info);
}

void TaskLife::AddOutput(TaskSlot slot, OutputStream stream, std::string_view bytes,
                         size_t max_bytes) {
  TaskRecord& record = core_->tasks.at(slot);
  // What a kept task holds is counted: nothing may be added any more.
  if (record.kept_by_ttl) return;
  auto& buffer = record.EnsureDetail().output[stream == OutputStream::kStdout ? 0 : 1];
  if (!buffer) buffer = std::make_unique<OutputBuffer>(max_bytes);
  const uint64_t offset = buffer->total_bytes();
  buffer->Append(bytes);
  if (scheduler::IsTerminal(record.state)) return;
  EventRecord event;
  event.kind = EventRecord::Kind::kOutput;
  event.stream = stream;
  event.offset = offset;
  event.data = std::make_shared<const std::string>(bytes);
  EmitOther(slot, std::move(event), bytes.size());
}

void TaskLife::AddProgress(TaskSlot slot, ProgressReport progress) {
  TaskRecord& record = core_->tasks.at(slot);
  EventRecord event;
  event.kind = EventRecord::Kind::kProgress;
  event.progress = std::make_shared<const ProgressReport>(progress);
  const size_t bytes = sizeof(progress) + progress.text.size();
  record.EnsureDetail().progress = std::make_unique<ProgressReport>(std::move(progress));
  EmitOther(slot, std::move(event), bytes);
}

void TaskLife::AddPartial(TaskSlot slot, std::string value, std::string content_type) {
  TaskRecord& record = core_->tasks.at(slot);
  EventRecord event;
  event.kind = EventRecord::Kind::kPartial;
  event.offset = record.EnsureDetail().partial_results++;
  const size_t bytes = value.size() + content_type.size();
  event.data = std::make_shared<const std::string>(std::move(value));
  event.content_type = std::make_shared<const std::string>(std::move(content_type));
  EmitOther(slot, std::move(event), bytes);
}

void TaskLife::Delivered(const std::vector<TaskSlot>& slots) {
  for (const TaskSlot slot : slots) Keep(slot);
}

void TaskLife::Keep(TaskSlot slot) { core_->finished.Add(slot, core_->now_ns); }

void TaskLife::EvictExpired() {
  for (TaskSlot slot = core_->finished.TakeExpired(core_->now_ns); slot != kNone;
       slot = core_->finished.TakeExpired(core_->now_ns)) {
    Forget(slot);
  }
}

bool TaskLife::EvictSegments(size_t bytes) {
  size_t freed = 0;
  while (freed < bytes) {
    const TaskSlot slot = core_->finished.TakeSegmentHolder();
    if (slot == kNone) return false;
    const TaskRecord& record = core_->tasks.at(slot);
    freed += FreedWith(record.payload);
    if (record.outcome) freed += FreedWith(record.outcome->value);
    Forget(slot);
  }
  return true;
}

void TaskLife::Forget(TaskSlot slot) {
  const TaskRecord& record = core_->tasks.at(slot);
  if (record.detail && !record.detail->request_id.empty()) {
    core_->request_ids.Remove(record.uid, record.detail->request_id);
  }
  core_->scheduler.ForgetTask(slot);
  core_->tasks.Remove(slot);
}

}  // namespace prefork::engine
