#ifndef PREFORK_SERVER_ENGINE_EVENT_LOG_H_
#define PREFORK_SERVER_ENGINE_EVENT_LOG_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/engine/ring.h"
#include "server/engine/types.h"
#include "server/scheduler/types.h"

namespace prefork::engine {

// Everything that happened, newest last, numbered from 1 without gaps. Bounded by count and bytes:
// the oldest events go first. Watches read it at their own pace and resume from any number still
// kept. State changes, the common kind, cost 48 bytes and no allocation.
class EventLog {
 public:
  EventLog(size_t max_events, size_t max_bytes) : max_events_(max_events), max_bytes_(max_bytes) {}

  // What is logged of a state change or an end.
  struct Entry {
    int64_t time_ns = 0;  // Unix
    TaskId task = 0;
    scheduler::PoolKey pool = scheduler::kNone;
    uint32_t uid = 0;
    uint32_t attempt = 0;
    uint32_t worker_index = scheduler::kNone;
    uint32_t worker_generation = 0;
    EventRecord::Kind kind = EventRecord::Kind::kState;
    scheduler::TaskState state = scheduler::TaskState::kQueued;
    scheduler::EndCause cause = scheduler::EndCause::kNone;
    bool has_extra = false;
  };

  // Both return the event's number. The second is for kinds with data of their own; `data_bytes` is
  // its size, and the record's number and time are set.
  uint64_t Append(const Entry& entry);
  uint64_t Append(Entry entry, EventRecord* record, size_t data_bytes);

  // Numbers kept: first_sequence() up to and without next_sequence().
  uint64_t first_sequence() const { return next_sequence_ - entries_.size(); }
  uint64_t next_sequence() const { return next_sequence_; }
  // May a reader that has seen everything up to `sequence` go on? OUT_OF_RANGE names the oldest
  // event kept and how to go on.
  absl::Status CheckResume(uint64_t sequence) const;

  // `sequence` must be kept.
  const Entry& entry(uint64_t sequence) const { return entries_[sequence - first_sequence()]; }
  // The event as sinks get it. Valid until the next call or Append.
  const EventRecord& Read(uint64_t sequence);

 private:
  struct Extra {
    uint64_t sequence = 0;
    size_t bytes = 0;
    EventRecord record;
  };
  void DropOldest();
  const EventRecord& FindExtra(uint64_t sequence) const;

  const size_t max_events_;
  const size_t max_bytes_;
  Ring<Entry> entries_;
  Ring<Extra> extras_;  // of the entries with has_extra, in their order
  size_t extra_bytes_ = 0;
  uint64_t next_sequence_ = 1;
  EventRecord scratch_;
};

// Unix nanoseconds as a time; 0 is InfinitePast.
absl::Time TimeOf(int64_t unix_ns);

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_EVENT_LOG_H_
