#include "server/engine/event_log.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/os/check.h"
#include "server/engine/errors.h"

namespace prefork::engine {

static_assert(sizeof(EventLog::Entry) <= 48, "a million of them a second are written");

absl::Time TimeOf(int64_t unix_ns) {
  return unix_ns == 0 ? absl::InfinitePast() : absl::FromUnixNanos(unix_ns);
}

uint64_t EventLog::Append(const Entry& entry) {
  entries_.push_back(entry);
  const uint64_t sequence = next_sequence_++;
  while (entries_.size() > max_events_ ||
         (entries_.size() * sizeof(Entry) + extra_bytes_ > max_bytes_ && entries_.size() > 1)) {
    DropOldest();
  }
  return sequence;
}

uint64_t EventLog::Append(Entry entry, EventRecord* record, size_t data_bytes) {
  record->sequence = next_sequence_;
  record->time = TimeOf(entry.time_ns);
  const size_t bytes = sizeof(Extra) + data_bytes;
  extras_.push_back(Extra{next_sequence_, bytes, *record});
  extra_bytes_ += bytes;
  entry.has_extra = true;
  return Append(entry);
}

void EventLog::DropOldest() {
  if (entries_.front().has_extra) {
    extra_bytes_ -= extras_.front().bytes;
    extras_.pop_front();
  }
  entries_.pop_front();
}

absl::Status EventLog::CheckResume(uint64_t sequence) const {
  if (sequence >= next_sequence_) {
    return MakeError(absl::StatusCode::kOutOfRange, reason::kEventsNotKept,
                     absl::StrCat("event ", sequence, " has not happened yet; the latest is ",
                                  next_sequence_ - 1,
                                  ". Was the daemon restarted? Watch again without a number"));
  }
  if (sequence + 1 >= first_sequence()) return absl::OkStatus();
  return MakeError(
      absl::StatusCode::kOutOfRange, reason::kEventsNotKept,
      absl::StrCat("events after ", sequence, " are no longer kept; the oldest one kept is ",
                   first_sequence(), ". Watch after ", first_sequence() - 1,
                   " to get all that is left, or ask for a snapshot"));
}

const EventRecord& EventLog::FindExtra(uint64_t sequence) const {
  size_t low = 0;
  size_t high = extras_.size();
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (extras_[middle].sequence < sequence) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  PREFORK_CHECK(low < extras_.size() && extras_[low].sequence == sequence);
  return extras_[low].record;
}

const EventRecord& EventLog::Read(uint64_t sequence) {
  PREFORK_CHECK(sequence >= first_sequence() && sequence < next_sequence_);
  const Entry& entry = this->entry(sequence);
  if (entry.has_extra) return FindExtra(sequence);
  scratch_.sequence = sequence;
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

}  // namespace prefork::engine
