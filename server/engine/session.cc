// From the engine to one client's stream.
//
//   accepted, rejected -> verdicts_: ranges of tags and refusals          ---> sink, about 256 KiB a
//   state changes ------> pending_ : 80 bytes each, references to tasks        flush, one flush in
//   ends                  others_  : events with data of their own             flight
//
// Order. Verdicts go first; a sink whose client has given no credit for events still takes them.
// All else goes through pending_. So what the client sees of a task is in the order in which it
// happened: accepted first, the end last.
//
// Bound. Ends and verdicts are never dropped. The session is not read while it has more than
// max_unfinished tasks and rejections that its client has not got the end of, or more than
// max_undelivered_bytes of ends and rejections that the sink has not taken; over the latter, ends
// lose the output kept for ReadOutput, and the scheduler holds its client: nothing more of what was
// accepted before begins until three quarters are left. Sessions that share a client (one user, one
// client name) are not held, because the others would wait, too: one of those that reaches kOverfull
// times the bound is ended, and its finished tasks are kept like those of any client that goes. While
// the sink takes nothing, state changes beyond kMaxPendingEvents are dropped (the next one, or the
// end, tells more) and so is output beyond kMaxOtherBytes (offsets show the gap, ReadOutput has what
// is kept).
//
// Ownership. A task is attached from its acceptance until the sink has its end; it is on the list
// made of the records' links, and nothing evicts it. It may leave earlier when another session takes
// it over, which is a rejection here: pending references check that the task is still the same one
// and still ours.
#include "server/engine/session.h"

#include <algorithm>
#include <utility>

#include "common/os/check.h"
#include "server/engine/exit_reporter.h"

namespace prefork::engine {
namespace {

constexpr size_t kMaxPendingEvents = 16'384;
constexpr size_t kMaxOtherBytes = size_t{4} << 20;
constexpr size_t kOverfull = 4;

// Goes on at three quarters.
bool IsOver(size_t amount, size_t limit, bool was_over) {
  return amount > (was_over ? limit / 4 * 3 : limit);
}

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
                 EventSink* sink, TaskTable* tasks, const SessionLimits& limits)
    : id_(id),
      index_(index),
      options_(std::move(options)),
      client_(client),
      sink_(sink),
      tasks_(tasks),
      limits_(limits) {}

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
  if (last_.count > 0) {
    if (tag == last_first_tag_ + last_.count && id == last_.first_id + last_.count) {
      ++last_.count;
      return;
    }
    if (runs_.size() >= prune_at_) PruneRuns();
    runs_[last_first_tag_] = last_;
  }
  last_first_tag_ = tag;
  last_ = Run{id, 1};
}

// Tags are remembered for cancellation only: runs whose tasks have all left are of no use.
void Session::PruneRuns() {
  for (auto it = runs_.begin(); it != runs_.end();) {
    bool used = false;
    for (uint64_t i = 0; i < it->second.count && !used; ++i) {
      used = SlotOf(it->second, i) != kNone;
    }
    it = used ? std::next(it) : runs_.erase(it);
  }
  prune_at_ = std::max<size_t>(1024, runs_.size() * 2);
}

TaskSlot Session::FindTag(uint64_t tag) const {
  // Of a tag that was used twice the later task is meant.
  if (tag >= last_first_tag_ && tag - last_first_tag_ < last_.count) {
    return SlotOf(last_, tag - last_first_tag_);
  }
  auto it = runs_.upper_bound(tag);
  if (it == runs_.begin()) return kNone;
  --it;
  return tag - it->first < it->second.count ? SlotOf(it->second, tag - it->first) : kNone;
}

TaskSlot Session::SlotOf(const Run& run, uint64_t position) const {
  const TaskSlot slot = tasks_->Find(run.first_id + position);
  return slot != kNone && tasks_->at(slot).session == index_ ? slot : kNone;
}

void Session::AddAccepted(uint64_t tag, TaskId id) {
  if (!verdicts_.empty()) {
    Verdict& last = verdicts_.back();
    if (last.first_id != 0 && last.first_tag + last.count == tag &&
        last.first_id + last.count == id) {
      ++last.count;
      return;
    }
  }
  verdicts_.push_back(Verdict{tag, id, 1, absl::OkStatus()});
}

bool Session::Writable() {
  if (!writable_) writable_ = sink_->TakesMore();
  return writable_;
}

bool Session::SinkStalled() { return !Writable() || !sink_->wants_events(); }

void Session::PushOther(Other other) {
  Pending pending;
  pending.kind = Pending::Kind::kOther;
  pending.slot = other.slot;
  other_bytes_ += other.bytes;
  others_.push_back(std::move(other));
  pending_.push_back(pending);
}

void Session::AddRejected(uint64_t tag, const absl::Status& why) {
  const Verdict& rejection = verdicts_.push_back(Verdict{tag, 0, 1, why});
  ++rejections_;
  undelivered_bytes_ += rejection.rejection_bytes();
}

void Session::AddState(TaskSlot slot, uint64_t sequence, const EventLog::Entry& entry) {
  if (!options_.states || (pending_.size() >= kMaxPendingEvents && SinkStalled())) return;
  pending_.push_back(Pending{Pending::Kind::kState, slot, sequence, 0, entry});
}

void Session::AddFinished(TaskSlot slot, uint64_t sequence, const EventLog::Entry& entry) {
  TaskRecord& record = tasks_->at(slot);
  size_t bytes = record.footprint_bytes();
  if (undelivered_bytes_ + bytes > limits_.max_undelivered_bytes) {
    record.DropOutput();
    bytes = record.footprint_bytes();
  }
  undelivered_bytes_ += bytes;
  pending_.push_back(Pending{Pending::Kind::kFinished, slot, sequence, bytes, entry});
}

void Session::AddOther(TaskSlot slot, const EventRecord& event) {
  if (!Wants(options_, event.kind)) return;
  const size_t bytes = event.data ? event.data->size() : sizeof(EventRecord);
  if (other_bytes_ + bytes > kMaxOtherBytes && SinkStalled()) return;
  PushOther(Other{tasks_->at(slot).tag, slot, event, bytes});
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
                     outcome.error, report,
                     report != nullptr ? record.earlier_attempts() : nullptr);
  Detach(pending.slot);
  delivered->push_back(pending.slot);
}

void Session::EmitVerdict() {
  const Verdict& verdict = verdicts_.front();
  if (verdict.first_id != 0) {
    sink_->AddAccepted(verdict.first_tag, verdict.first_id, verdict.count);
  } else {
    sink_->AddRejected(verdict.first_tag, verdict.why);
    --rejections_;
    undelivered_bytes_ -= verdict.rejection_bytes();
  }
  verdicts_.pop_front();
}

void Session::Emit(const Pending& pending, std::vector<TaskSlot>* delivered) {
  switch (pending.kind) {
    case Pending::Kind::kState:
      if (IsMine(pending.slot, pending.entry.task)) {
        sink_->AddEvent(tasks_->at(pending.slot).tag, ToEvent(pending));
      }
      break;
    case Pending::Kind::kFinished:
      EmitFinished(pending, delivered);
      undelivered_bytes_ -= pending.bytes;
      break;
    case Pending::Kind::kOther: {
      const Other& other = others_.front();
      if (IsMine(other.slot, other.event.task)) {
        sink_->AddEvent(other.tag, other.event);
      }
      other_bytes_ -= other.bytes;
      others_.pop_front();
      break;
    }
  }
}

bool Session::SinkFull() const { return sink_->pending_bytes() >= EventSink::kFlushBytes; }

void Session::Flush(std::vector<TaskSlot>* delivered) {
  // What is left after a flush has to be asked for, or the sink would not tell when it takes more.
  while (!(verdicts_.empty() && pending_.empty()) && Writable()) {
    while (!verdicts_.empty() && !SinkFull()) EmitVerdict();
    while (!pending_.empty() && !SinkFull() && sink_->wants_events()) {
      Emit(pending_.front(), delivered);
      pending_.pop_front();
    }
    // References to tasks that left may have come to nothing.
    if (sink_->pending_bytes() == 0) return;
    writable_ = false;
    sink_->Flush();
  }
}

bool Session::OverLimits() const {
  return IsOver(task_count_ + rejections_, limits_.max_unfinished, paused_) ||
         IsOver(undelivered_bytes_, limits_.max_undelivered_bytes, paused_);
}

bool Session::UpdateHold() {
  const bool hold = IsOver(undelivered_bytes_, limits_.max_undelivered_bytes, holds_work_);
  return std::exchange(holds_work_, hold) != hold;
}

bool Session::overfull() const {
  return undelivered_bytes_ / kOverfull > limits_.max_undelivered_bytes;
}

void Session::UpdateReading() {
  // Credit has to be read even so, as soon as the client takes what is sent to it.
  const bool pause = OverLimits() && (sink_->wants_events() || !Writable());
  if (pause == paused_) return;
  paused_ = pause;
  sink_->PauseReading(pause);
}

}  // namespace prefork::engine
