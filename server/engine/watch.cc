#include "server/engine/watch.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "server/engine/errors.h"

namespace prefork::engine {
namespace {

// Looked at in one pass, so that a filter that matches nothing does not hold up the engine.
constexpr size_t kEventsPerPass = 16'384;

bool Contains(const std::vector<std::string>& names, const std::string& name) {
  return names.empty() || std::find(names.begin(), names.end(), name) != names.end();
}

bool StateMatches(const TaskFilter& filter, scheduler::TaskState state) {
  if (filter.states.empty()) return true;
  if (state == scheduler::TaskState::kWaiting) state = scheduler::TaskState::kQueued;
  return std::find(filter.states.begin(), filter.states.end(), state) != filter.states.end();
}

bool LabelsMatch(const TaskFilter& filter, const TaskRecord& task) {
  return std::all_of(filter.labels.begin(), filter.labels.end(), [&task](const auto& label) {
    const auto it = task.options->labels.find(label.first);
    return it != task.options->labels.end() && it->second == label.second;
  });
}

}  // namespace

bool MaySee(const Caller& caller, uint32_t task_uid) {
  return caller.privileged || caller.uid == task_uid;
}

bool Matches(const TaskFilter& filter, const TaskRecord& task) {
  return StateMatches(filter, task.state) &&
         (filter.pool.empty() || filter.pool == task.options->pool) && LabelsMatch(filter, task);
}

Watch::Watch(SessionId id, WatchOptions options, EventSink* sink, EventLog* log,
             const TaskTable* tasks, const std::vector<std::string>* pool_names)
    : id_(id),
      options_(std::move(options)),
      ids_(options_.task_filter.ids.begin(), options_.task_filter.ids.end()),
      sink_(sink),
      log_(log),
      tasks_(tasks),
      pool_names_(pool_names),
      seen_(options_.after_sequence != 0 ? options_.after_sequence : log->next_sequence() - 1),
      task_snapshot_(options_.tasks && options_.snapshot),
      snapshot_sequence_(log->next_sequence() - 1) {}

bool Watch::Full() const { return sink_->pending_bytes() >= EventSink::kFlushBytes; }

void Watch::FlushIfAny() {
  if (sink_->pending_bytes() == 0) return;
  writable_ = false;
  sink_->Flush();
}

void Watch::Close(const absl::Status& why) {
  if (closed_) return;
  closed_ = true;
  FlushIfAny();
  sink_->Close(why);
}

bool Watch::Pump() {
  if (closed_ || !writable_) return false;
  const bool more = PumpSnapshot() || PumpLog();
  FlushIfAny();
  return more && writable_ && !closed_;
}

// True: the snapshot is not over.
bool Watch::PumpSnapshot() {
  while (snapshot_next_ < snapshot_.size()) {
    if (Full()) return true;
    EventRecord& event = snapshot_[snapshot_next_++];
    event.sequence = snapshot_sequence_;
    sink_->AddEvent(0, event);
  }
  snapshot_.clear();
  snapshot_next_ = 0;
  if (!task_snapshot_) return false;
  size_t looked_at = 0;
  bool more = false;
  tasks_->Walk(task_cursor_, false, [&](TaskSlot, const TaskRecord& task) {
    if (Full() || ++looked_at > kEventsPerPass) {
      more = true;
      return false;
    }
    task_cursor_ = task.id;
    if (!WantsId(task.id) || !MaySee(options_.caller, task.uid) ||
        !Matches(options_.task_filter, task)) {
      return true;
    }
    EventRecord event;
    event.sequence = snapshot_sequence_;
    event.kind = EventRecord::Kind::kState;
    event.time = TimeOf(std::max({task.submitted_ns, task.started_ns, task.finished_ns}));
    event.task = task.id;
    event.state = task.state;
    event.cause = task.cause;
    event.attempt = task.attempt;
    event.worker_index = task.worker_index;
    event.worker_generation = task.worker_generation;
    sink_->AddEvent(0, event);
    return true;
  });
  task_snapshot_ = more;
  return more;
}

// True: there is more in the log.
bool Watch::PumpLog() {
  if (seen_ + 1 < log_->first_sequence()) {
    Close(MakeError(absl::StatusCode::kResourceExhausted, reason::kWatchTooSlow,
                    absl::StrCat("the watcher fell behind: events ", seen_ + 1, " to ",
                                 log_->first_sequence() - 1, " are no longer kept. Watch after ",
                                 log_->first_sequence() - 1, " to go on with what is left")));
    return false;
  }
  for (size_t looked_at = 0; seen_ + 1 < log_->next_sequence(); ++looked_at) {
    if (Full() || looked_at == kEventsPerPass) return true;
    ++seen_;
    if (Wants(log_->entry(seen_))) Emit(seen_);
  }
  return false;
}

bool Watch::Wants(const EventLog::Entry& entry) const {
  switch (entry.kind) {
    case EventRecord::Kind::kWorker:
      return options_.workers && Contains(options_.pool_names, (*pool_names_)[entry.pool]);
    case EventRecord::Kind::kPool:
      return options_.pools && Contains(options_.pool_names, (*pool_names_)[entry.pool]);
    case EventRecord::Kind::kOutput:
      return options_.output && WantsTask(entry);
    case EventRecord::Kind::kProgress:
    case EventRecord::Kind::kPartial:
      return options_.progress && WantsTask(entry);
    case EventRecord::Kind::kState:
    case EventRecord::Kind::kRetry:
    case EventRecord::Kind::kFinished:
      return StateMatches(options_.task_filter, entry.state) && WantsTask(entry);
  }
  return false;
}

bool Watch::WantsTask(const EventLog::Entry& entry) const {
  const TaskFilter& filter = options_.task_filter;
  if (!options_.tasks || !MaySee(options_.caller, entry.uid)) return false;
  if (!WantsId(entry.task)) return false;
  if (!filter.pool.empty() && filter.pool != (*pool_names_)[entry.pool]) return false;
  if (filter.labels.empty()) return true;
  // The labels of a task that was deleted meanwhile are not known any more.
  const TaskSlot slot = tasks_->Find(entry.task);
  return slot != kNone && LabelsMatch(filter, tasks_->at(slot));
}

void Watch::Emit(uint64_t sequence) {
  const EventRecord& event = log_->Read(sequence);
  if (event.kind != EventRecord::Kind::kFinished) return sink_->AddEvent(0, event);
  const TaskSlot slot = tasks_->Find(event.task);
  const TaskRecord* const task = slot == kNone ? nullptr : &tasks_->at(slot);
  static const auto* const kNothing = new TaskOutcome();
  const TaskOutcome& outcome = task != nullptr && task->outcome ? *task->outcome : *kNothing;
  sink_->AddFinished(0, event, outcome.value, outcome.content_type, outcome.error,
                     outcome.report.get(), outcome.report ? task->earlier_attempts() : nullptr);
}

}  // namespace prefork::engine
