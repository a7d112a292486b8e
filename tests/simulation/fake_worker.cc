#include "tests/simulation/fake_worker.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "server/scheduler/types.h"

namespace prefork::simulation {

void FakeWorker::Push(TaskSlot task, bool notify_start) {
  lane_.push_back(Entry{.task = task, .notify_start = notify_start});
}

bool FakeWorker::TakeBack(TaskSlot task) {
  const auto it = std::find_if(lane_.begin() + (claimed_ ? 1 : 0), lane_.end(),
                               [task](const Entry& entry) { return entry.task == task; });
  if (it == lane_.end()) {
    return false;
  }
  lane_.erase(it);
  return true;
}

bool FakeWorker::Holds(TaskSlot task) const {
  return std::any_of(lane_.begin(), lane_.end(),
                     [task](const Entry& entry) { return entry.task == task; });
}

TaskSlot FakeWorker::Claim(int64_t now_ns) {
  if (claimed_ || lane_.empty()) {
    return kNone;
  }
  claimed_ = true;
  claimed_ns_ = now_ns;
  if (lane_.front().notify_start) {
    up.push_back(
        Message{.kind = Message::Kind::kStarted, .task = lane_.front().task, .started_ns = now_ns});
  }
  return lane_.front().task;
}

void FakeWorker::Finish(EndCause cause, int64_t now_ns) {
  up.push_back(Message{.kind = Message::Kind::kFinished,
                       .task = lane_.front().task,
                       .cause = cause,
                       .started_ns = claimed_ns_,
                       .run_ns = now_ns - claimed_ns_});
  lane_.pop_front();
  claimed_ = false;
}

void FakeWorker::Die(EndCause cause) { death_ = cause; }

}  // namespace prefork::simulation
