#include "server/engine/worker_link.h"

namespace prefork::engine {

InFlight& WorkerLink::Add(InFlight entry) {
  ++depth_;
  return entries_.push_back(entry);
}

InFlight* WorkerLink::Front() {
  Trim();
  return entries_.empty() ? nullptr : &entries_.front();
}

InFlight* WorkerLink::Find(TaskSlot slot) {
  // What is looked for is mostly what was put in last.
  for (size_t i = entries_.size(); i-- > 0;) {
    if (entries_[i].slot == slot) return &entries_[i];
  }
  return nullptr;
}

TaskSlot WorkerLink::Running() const {
  TaskSlot running = kNone;
  ForEach([&](const InFlight& task) {
    if (running == kNone && worker->lane().down().IsClaimed(task.position)) running = task.slot;
  });
  return running;
}

void WorkerLink::Remove(InFlight* entry) {
  entry->slot = kNone;
  --depth_;
  Trim();
}

bool WorkerLink::HoldsSegment(uint64_t segment_id) const {
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].slot != kNone && entries_[i].segment_id == segment_id) return true;
  }
  return false;
}

void WorkerLink::DropSegment(uint64_t segment_id) {
  if (segment_id != 0 && !HoldsSegment(segment_id)) worker->ReleaseSegment(segment_id);
}

void WorkerLink::Trim() {
  while (!entries_.empty() && entries_.front().slot == kNone) entries_.pop_front();
}

}  // namespace prefork::engine
