#ifndef PREFORK_SERVER_ENGINE_SESSION_H_
#define PREFORK_SERVER_ENGINE_SESSION_H_

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/status/status.h"
#include "server/engine/event_log.h"
#include "server/engine/event_sink.h"
#include "server/engine/options.h"
#include "server/engine/ring.h"
#include "server/engine/task_table.h"
#include "server/scheduler/types.h"

namespace prefork::engine {

// Over either of them the session's client is not read; over the second one none of its tasks
// begins, either.
struct SessionLimits {
  size_t max_unfinished = 0;         // tasks whose end it has not got, and rejections
  size_t max_undelivered_bytes = 0;  // of ends and rejections that its sink has not taken
};

// What one client's stream submitted and has not heard the end of. Events wait here as references
// to tasks until the sink takes them; the design note is in session.cc.
class Session {
 public:
  // `sink` and `tasks` are not owned. `index` is what the session's tasks carry in their records.
  Session(SessionId id, uint32_t index, SessionOptions options, scheduler::ClientKey client,
          EventSink* sink, TaskTable* tasks, const SessionLimits& limits);

  SessionId id() const { return id_; }
  uint32_t index() const { return index_; }
  const SessionOptions& options() const { return options_; }
  scheduler::ClientKey client() const { return client_; }
  EventSink* sink() { return sink_; }

  // --- its tasks: those it will get the end of ---
  void Attach(TaskSlot slot, uint64_t tag);
  void Detach(TaskSlot slot);
  TaskSlot first_task() const { return head_; }
  size_t task_count() const { return task_count_; }
  // The unfinished or undelivered task with this tag; kNone when there is none.
  TaskSlot FindTag(uint64_t tag) const;

  // --- its verdicts and events ---
  void AddAccepted(uint64_t tag, TaskId id);
  void AddRejected(uint64_t tag, const absl::Status& why);
  // A state change, only if the session asked for them.
  void AddState(TaskSlot slot, uint64_t sequence, const EventLog::Entry& entry);
  // The end of an attached task. The task stays attached until the sink has taken it.
  void AddFinished(TaskSlot slot, uint64_t sequence, const EventLog::Entry& entry);
  // Output, progress, partial results, retries; only if the session asked for them.
  void AddOther(TaskSlot slot, const EventRecord& event);

  // Gives the sink what it takes, if it is writable. Tasks whose end went out are detached and
  // appended to `delivered`.
  void Flush(std::vector<TaskSlot>* delivered);
  void SetWritable() { writable_ = true; }
  bool drained() { return verdicts_.empty() && pending_.empty() && Writable(); }
  // There are verdicts to flush, and nothing else.
  bool only_verdicts() const { return pending_.empty() && !verdicts_.empty(); }
  // Stops or resumes the reading of submits, by what the session holds.
  void UpdateReading();

  // Has it so many bytes of results that none of its tasks should begin?
  bool holds_work() const { return holds_work_; }
  // Looks at that anew; true when it changed.
  bool UpdateHold();
  // Has it several times as many? Then it has to be ended if it can't be held.
  bool overfull() const;
  size_t undelivered_bytes() const { return undelivered_bytes_; }

  // Over its bound and without credit: it is read, because the credit comes that way, and what it
  // submits is refused.
  bool refuses_submits() const { return !sink_->wants_events() && OverLimits(); }

  bool dirty = false;  // in the list of sessions to flush

 private:
  struct Pending {
    enum class Kind : uint8_t { kState, kFinished, kOther };
    Kind kind = Kind::kState;
    TaskSlot slot = kNone;
    uint64_t sequence = 0;
    size_t bytes = 0;  // kFinished: counted in undelivered_bytes_
    EventLog::Entry entry;
  };
  struct Other {
    uint64_t tag = 0;
    TaskSlot slot = kNone;
    EventRecord event;
    size_t bytes = 0;
  };
  // A range of accepted tasks, or one rejection.
  struct Verdict {
    uint64_t first_tag = 0;
    TaskId first_id = 0;  // 0: a rejection
    uint64_t count = 0;
    absl::Status why;

    size_t rejection_bytes() const { return sizeof(*this) + why.message().size(); }
  };
  // Consecutive tags that got consecutive IDs.
  struct Run {
    TaskId first_id = 0;
    uint64_t count = 0;
  };

  void PushOther(Other other);
  bool OverLimits() const;
  bool SinkFull() const;
  bool Writable();
  bool SinkStalled();
  void EmitVerdict();
  void Emit(const Pending& pending, std::vector<TaskSlot>* delivered);
  void EmitFinished(const Pending& pending, std::vector<TaskSlot>* delivered);
  const EventRecord& ToEvent(const Pending& pending);
  bool IsMine(TaskSlot slot, TaskId id) const;
  void RememberTag(uint64_t tag, TaskId id);
  TaskSlot SlotOf(const Run& run, uint64_t position) const;
  void PruneRuns();

  const SessionId id_;
  const uint32_t index_;
  const SessionOptions options_;
  const scheduler::ClientKey client_;
  EventSink* const sink_;
  TaskTable* const tasks_;
  const SessionLimits limits_;

  TaskSlot head_ = kNone;
  TaskSlot tail_ = kNone;
  size_t task_count_ = 0;
  absl::btree_map<uint64_t, Run> runs_;  // by first tag; all but the last one
  uint64_t last_first_tag_ = 0;
  Run last_;                // may still grow; none when its count is 0
  size_t prune_at_ = 1024;  // runs

  Ring<Verdict> verdicts_;
  size_t rejections_ = 0;  // among them
  size_t undelivered_bytes_ = 0;
  Ring<Pending> pending_;
  Ring<Other> others_;  // of the pending kOther, in their order
  size_t other_bytes_ = 0;
  bool writable_ = true;
  bool paused_ = false;
  bool holds_work_ = false;
  EventRecord scratch_;
};

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_SESSION_H_
