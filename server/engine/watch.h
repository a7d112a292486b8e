#ifndef PREFORK_SERVER_ENGINE_WATCH_H_
#define PREFORK_SERVER_ENGINE_WATCH_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "server/engine/event_log.h"
#include "server/engine/event_sink.h"
#include "server/engine/options.h"
#include "server/engine/task_table.h"

namespace prefork::engine {

// May this caller know of the task at all?
bool MaySee(const Caller& caller, uint32_t task_uid);
// Does the task meet all given conditions but the IDs? Those are looked up, not searched for.
bool Matches(const TaskFilter& filter, const TaskRecord& task);

// One reader of the event log: a cursor and a filter. It holds no events of its own, so a slow
// watcher costs nothing; one that falls out of the log is closed and told where to go on.
class Watch {
 public:
  // Nothing is owned. `pool_names` are all pools there ever were, by their keys.
  Watch(SessionId id, WatchOptions options, EventSink* sink, EventLog* log, const TaskTable* tasks,
        const std::vector<std::string>* pool_names);

  SessionId id() const { return id_; }
  const WatchOptions& options() const { return options_; }
  EventSink* sink() { return sink_; }

  // Events that stand in front of everything else: pools and workers as they are now.
  void AddSnapshot(EventRecord event) { snapshot_.push_back(std::move(event)); }

  // Gives the sink what it takes, if it is writable. Looks at a bounded number of events; true:
  // there are more to look at, call again.
  bool Pump();
  void SetWritable() { writable_ = true; }
  // Nothing more will come; the second time has no effect.
  void Close(const absl::Status& why);

 private:
  bool PumpSnapshot();
  bool PumpLog();
  bool Wants(const EventLog::Entry& entry) const;
  bool WantsTask(const EventLog::Entry& entry) const;
  void Emit(uint64_t sequence);
  void FlushIfAny();
  bool Full() const;

  bool WantsId(TaskId id) const { return ids_.empty() || ids_.contains(id); }

  const SessionId id_;
  const WatchOptions options_;
  const absl::flat_hash_set<TaskId> ids_;  // empty: all
  EventSink* const sink_;
  EventLog* const log_;
  const TaskTable* const tasks_;
  const std::vector<std::string>* const pool_names_;

  uint64_t seen_;  // everything up to this event was looked at
  std::vector<EventRecord> snapshot_;
  size_t snapshot_next_ = 0;
  bool task_snapshot_;  // still going through the tasks, after task_cursor_
  TaskId task_cursor_ = 0;
  uint64_t snapshot_sequence_;
  bool writable_ = true;
  bool closed_ = false;
};

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_WATCH_H_
