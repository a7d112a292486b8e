// From the engine to one client's stream.
//
//   state changes ---> pending_ : 72 bytes each, references to tasks ---> sink, about 256 KiB a
//   ends                others_ : events with data of their own           flush, one flush in flight
//
// Order. Everything goes through pending_, so what the client sees of a task is in the order in
// which it happened: accepted first, the end last.
//
// Bound. The ends are never dropped; their number is bounded because the session stops being read
// while it has more than max_unfinished tasks whose end it has not got. While the sink takes
// nothing, state changes beyond kMaxPendingEvents are dropped (the next one, or the end, tells more)
// and so is output beyond kMaxOtherBytes (offsets show the gap, ReadOutput has what is kept).
//
// Ownership. A task is attached from its acceptance until the sink has its end; it is on the list
// made of the records' links, and nothing evicts it. It may leave earlier when another session takes
// it over: pending references check that the task is still the same one and still ours.
#include "server/engine/session.h"

#include <algorithm>

#include "common/os/check.h"
#include "server/engine/exit_reporter.h"

namespace prefork::engine {
namespace {

constexpr size_t kFlushBytes = size_t{256} << 10;
constexpr size_t kMaxPendingEvents = 16'384;
constexpr size_t kMaxOtherBytes = size_t{4} << 20;

bool Wants(const SessionOptions& options, EventRecord::Kind kind) {
  switch (kind) {
    case EventRecord::Kind::kOutput:
      return options.output;
    case EventRecord::Kind::kProgress:
    case EventRecord::Kind::kPartial:
      return options.progress;
    case EventRecord::Kind::kState:
    case EventRecord::Kind::kRetry:
      return options.states;
    case EventRecord::Kind::kFinished:
      return true;
    case EventRecord::Kind::kWorker:
    case EventRecord::Kind::kPool:
      return false;
  }
  return false;
}

}  // namespace

Session::Session(SessionId id, uint32_t index, SessionOptions options, scheduler::ClientKey client,
                 EventSink* sink, TaskTable* tasks, size_t max_unfinished)
    : id_(id),
      index_(index),
      options_(std::move(options)),
      client_(client),
      sink_(sink),
      tasks_(tasks),
      max_unfinished_(max_unfinished) {}

void Session::Attach(TaskSlot slot, uint64_t tag) {
  TaskRecord& record = tasks_->at(slot);
  PREFORK_CHECK(record.session == kNone && !record.kept_by_ttl);
  record.session = index_;
  record.tag = tag;
  record.previous = tail_;
  record.next = kNone;
  (tail_ == kNone ? head_ : tasks_->at(tail_).next) = slot;
  tail_ = slot;
  ++task_count_;
  RememberTag(tag, record.id);
}

void Session::Detach(TaskSlot slot) {
  TaskRecord& record = tasks_->at(slot);
  PREFORK_CHECK(record.session == index_);
  record.session = kNone;
  (record.previous == kNone ? head_ : tasks_->at(record.previous).next) = record.next;
  (record.next == kNone ? tail_ : tasks_->at(record.next).previous) = record.previous;
  record.previous = record.next = kNone;
  --task_count_;
}

bool Session::IsMine(TaskSlot slot, TaskId id) const {
  const TaskRecord& record = tasks_->at(slot);
  return record.id == id && record.session == index_;
}

void Session::RememberTag(uint64_t tag, TaskId id) {
  auto it = runs_.upper_bound(tag);
  if (it != runs_.begin()) {
    auto& [first_tag, run] = *std::prev(it);
    if (tag == first_tag + run.count && id == run.first_id + run.count) {
      ++run.count;
      return;
    }
  }
  if (runs_.size() >= prune_at_) PruneRuns();
  runs_[tag] = Run{id, 1};
}

// Tags are remembered for cancellation only: runs whose tasks have all left are of no use.
void Session::PruneRuns() {
  for (auto it = runs_.begin(); it != runs_.end();) {
    bool used = false;
    for (uint64_t i = 0; i < it->second.count && !used; ++i) {
      const TaskSlot slot = tasks_->Find(it->second.first_id + i);
      used = slot != kNone && tasks_->at(slot).session == index_;
    }
    it = used ? std::next(it) : runs_.erase(it);
  }
  prune_at_ = std::max<size_t>(1024, runs_.size() * 2);
}

TaskSlot Session::FindTag(uint64_t tag) const {
  auto it = runs_.upper_bound(tag);
  if (it == runs_.begin()) return kNone;
  --it;
  if (tag - it->first >= it->second.count) return kNone;
  const TaskSlot slot = tasks_->Find(it->second.first_id + (tag - it->first));
  return slot != kNone && tasks_->at(slot).session == index_ ? slot : kNone;
}

void Session::AddAccepted(uint64_t tag, TaskId id) {
  if (!pending_.empty()) {
    Pending& last = pending_.back();
    const auto count = static_cast<uint64_t>(last.entry.time_ns);
    if (last.kind == Pending::Kind::kAccepted && last.sequence + count == tag &&
        last.entry.task + count == id) {
      ++last.entry.time_ns;
      return;
    }
  }
  Pending pending;
  pending.kind = Pending::Kind::kAccepted;
  pending.sequence = tag;
  pending.entry.task = id;
  pending.entry.time_ns = 1;
  pending_.push_back(pending);
}

void Session::PushOther(Other other) {
  Pending pending;
  pending.kind = Pending::Kind::kOther;
  pending.slot = other.slot;
  other_bytes_ += other.bytes;
  others_.push_back(std::move(other));
  pending_.push_back(pending);
}

void Session::AddRejected(uint64_t tag, const absl::Status& why) {
  PushOther(Other{tag, kNone, EventRecord(), why, 0});
}

void Session::AddState(TaskSlot slot, uint64_t sequence, const EventLog::Entry& entry) {
  if (!options_.states || (!writable_ && pending_.size() >= kMaxPendingEvents)) return;
  pending_.push_back(Pending{Pending::Kind::kState, slot, sequence, entry});
}

void Session::AddFinished(TaskSlot slot, uint64_t sequence, const EventLog::Entry& entry) {
  pending_.push_back(Pending{Pending::Kind::kFinished, slot, sequence, entry});
}

void Session::AddOther(TaskSlot slot, const EventRecord& event) {
  if (!Wants(options_, event.kind)) return;
  const size_t bytes = event.data ? event.data->size() : sizeof(EventRecord);
  if (!writable_ && other_bytes_ + bytes > kMaxOtherBytes) return;
  PushOther(Other{tasks_->at(slot).tag, slot, event, absl::OkStatus(), bytes});
}

const EventRecord& Session::ToEvent(const Pending& pending) {
  const EventLog::Entry& entry = pending.entry;
  scratch_.sequence = pending.sequence;
  scratch_.time = TimeOf(entry.time_ns);
  scratch_.kind = entry.kind;
  scratch_.task = entry.task;
  scratch_.state = entry.state;
  scratch_.cause = entry.cause;
  scratch_.attempt = entry.attempt;
  scratch_.worker_index = entry.worker_index;
  scratch_.worker_generation = entry.worker_generation;
  return scratch_;
}

void Session::EmitFinished(const Pending& pending, std::vector<TaskSlot>* delivered) {
  static const auto* const kNothing = new TaskOutcome();
  if (!IsMine(pending.slot, pending.entry.task)) return;
  TaskRecord& record = tasks_->at(pending.slot);
  const TaskOutcome& outcome = record.outcome ? *record.outcome : *kNothing;
  const ExitReport* report = outcome.report.get();
  ExitReport success;
  if (record.state == scheduler::TaskState::kSucceeded) {
    if (!options_.exit_reports) {
      report = nullptr;
    } else if (report == nullptr) {
      success = ReportSuccess(record);
      report = &success;
    }
  }
  sink_->AddFinished(record.tag, ToEvent(pending), outcome.value, outcome.content_type,
                     outcome.error, report, record.detail ? &record.detail->earlier : nullptr);
  Detach(pending.slot);
  delivered->push_back(pending.slot);
}

void Session::Emit(const Pending& pending, std::vector<TaskSlot>* delivered) {
  switch (pending.kind) {
    case Pending::Kind::kAccepted:
      sink_->AddAccepted(pending.sequence, pending.entry.task,
                         static_cast<uint64_t>(pending.entry.time_ns));
      break;
    case Pending::Kind::kState:
      if (IsMine(pending.slot, pending.entry.task)) {
        sink_->AddEvent(tasks_->at(pending.slot).tag, ToEvent(pending));
      }
      break;
    case Pending::Kind::kFinished:
      EmitFinished(pending, delivered);
      break;
    case Pending::Kind::kOther: {
      const Other& other = others_.front();
      if (other.slot == kNone) {
        sink_->AddRejected(other.tag, other.why);
      } else if (IsMine(other.slot, other.event.task)) {
        sink_->AddEvent(other.tag, other.event);
      }
      other_bytes_ -= other.bytes;
      others_.pop_front();
      break;
    }
  }
}

void Session::Flush(std::vector<TaskSlot>* delivered) {
  if (!wants_flush()) return;
  while (!pending_.empty() && sink_->pending_bytes() < kFlushBytes) {
    Emit(pending_.front(), delivered);
    pending_.pop_front();
  }
  // References to tasks that left may have come to nothing.
  if (sink_->pending_bytes() == 0) return;
  writable_ = false;
  sink_->Flush();
}

void Session::UpdateReading() {
  const bool pause =
      paused_ ? task_count_ > max_unfinished_ / 4 * 3 : task_count_ > max_unfinished_;
  if (pause == paused_) return;
  paused_ = pause;
  sink_->PauseReading(pause);
}

}  // namespace prefork::engine
