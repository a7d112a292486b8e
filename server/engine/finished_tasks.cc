#include "server/engine/finished_tasks.h"

#include <algorithm>

#include "common/os/check.h"

namespace prefork::engine {
namespace {

constexpr int64_t kForever = INT64_MAX;

int64_t ExpiryNs(int64_t now_ns, absl::Duration ttl) {
  if (ttl >= absl::Nanoseconds(kForever - now_ns)) return kForever;
  return now_ns + absl::ToInt64Nanoseconds(std::max(ttl, absl::ZeroDuration()));
}

bool HoldsSegment(const TaskRecord& task) {
  return task.payload.segment() != nullptr ||
         (task.outcome && task.outcome->value.segment() != nullptr);
}

}  // namespace

void FinishedTasks::Add(TaskSlot slot, int64_t now_ns) {
  TaskRecord& record = tasks_->at(slot);
  PREFORK_CHECK(scheduler::IsTerminal(record.state) && !record.kept_by_ttl);
  record.kept_by_ttl = true;
  record.own_ttl = record.options->result_ttl.has_value();
  record.expires_ns = ExpiryNs(now_ns, record.options->result_ttl.value_or(limits_.ttl));
  if (record.own_ttl) {
    own_ttl_.emplace(record.expires_ns, slot);
  } else {
    record.previous = tail_;
    record.next = kNone;
    (tail_ == kNone ? head_ : tasks_->at(tail_).next) = slot;
    tail_ = slot;
  }
  ++size_;
  bytes_ += record.footprint_bytes();
  segment_holders_ += HoldsSegment(record) ? 1 : 0;
}

void FinishedTasks::Remove(TaskSlot slot) {
  TaskRecord& record = tasks_->at(slot);
  PREFORK_CHECK(record.kept_by_ttl);
  record.kept_by_ttl = false;
  if (record.own_ttl) {
    own_ttl_.erase({record.expires_ns, slot});
  } else {
    if (record.next != kNone) tasks_->Prefetch(record.next);  // mostly the next one to go
    (record.previous == kNone ? head_ : tasks_->at(record.previous).next) = record.next;
    (record.next == kNone ? tail_ : tasks_->at(record.next).previous) = record.previous;
    record.previous = record.next = kNone;
  }
  --size_;
  bytes_ -= record.footprint_bytes();
  segment_holders_ -= HoldsSegment(record) ? 1 : 0;
}

TaskSlot FinishedTasks::Next() const {
  if (own_ttl_.empty()) return head_;
  const auto& [expires_ns, slot] = *own_ttl_.begin();
  return head_ == kNone || expires_ns < tasks_->at(head_).expires_ns ? slot : head_;
}

int64_t FinishedTasks::NextExpiryNs() const {
  const TaskSlot next = Next();
  return next == kNone ? kForever : tasks_->at(next).expires_ns;
}

TaskSlot FinishedTasks::TakeExpired(int64_t now_ns) {
  const bool over_bound = size_ > limits_.max_tasks || bytes_ > limits_.max_bytes;
  if (!over_bound && NextExpiryNs() > now_ns) return kNone;
  return TakeNext();
}

TaskSlot FinishedTasks::TakeNext() {
  const TaskSlot next = Next();
  if (next != kNone) Remove(next);
  return next;
}

TaskSlot FinishedTasks::TakeSegmentHolder() {
  if (segment_holders_ == 0) return kNone;
  TaskSlot slot = head_;
  while (slot != kNone && !HoldsSegment(tasks_->at(slot))) slot = tasks_->at(slot).next;
  if (slot == kNone) {
    const auto own = std::find_if(own_ttl_.begin(), own_ttl_.end(), [this](const auto& entry) {
      return HoldsSegment(tasks_->at(entry.second));
    });
    PREFORK_CHECK(own != own_ttl_.end());
    slot = own->second;
  }
  Remove(slot);
  return slot;
}

}  // namespace prefork::engine
