#include "server/scheduler/workers.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "server/scheduler/check.h"
#include "server/scheduler/types.h"

namespace prefork::scheduler {

void OpenWorkers::Update(uint32_t index, uint32_t place) {
  Worker& worker = (*workers_)[index];
  if (worker.place == place) {
    return;
  }
  if (worker.place != kNone) {
    if (worker.previous == kNone) {
      first_[worker.place] = worker.next;
    } else {
      (*workers_)[worker.previous].next = worker.next;
    }
    if (worker.next != kNone) {
      (*workers_)[worker.next].previous = worker.previous;
    }
    idle_ -= worker.place == 0 ? 1 : 0;
  }
  worker.place = place;
  if (place != kNone) {
    worker.previous = kNone;
    worker.next = first_[place];
    if (worker.next != kNone) {
      (*workers_)[worker.next].previous = index;
    }
    first_[place] = index;
    least_ = std::min(least_, place);
    idle_ += place == 0 ? 1 : 0;
  }
}

uint32_t OpenWorkers::Least() {
  while (least_ < first_.size() && first_[least_] == kNone) {
    ++least_;
  }
  return least_ < first_.size() ? first_[least_] : kNone;
}

void OpenWorkers::CheckInvariants() const {
  size_t idle = 0;
  for (uint32_t place = 0; place < first_.size(); ++place) {
    Check(first_[place] == kNone || place >= least_, "nobody has less than the least");
    for (uint32_t i = first_[place]; i != kNone; i = (*workers_)[i].next) {
      const Worker& worker = (*workers_)[i];
      Check(worker.place == place && worker.lane_size == place, "an open worker is in its place");
      idle += place == 0 ? 1 : 0;
    }
  }
  Check(idle == idle_, "idle workers are counted");
}

}  // namespace prefork::scheduler
