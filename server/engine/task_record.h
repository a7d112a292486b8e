#ifndef PREFORK_SERVER_ENGINE_TASK_RECORD_H_
#define PREFORK_SERVER_ENGINE_TASK_RECORD_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "server/engine/output_buffer.h"
#include "server/engine/types.h"
#include "server/scheduler/types.h"

namespace prefork::engine {

using scheduler::kNone;
using scheduler::TaskSlot;

inline constexpr size_t kMaxEarlierAttempts = 16;
inline constexpr size_t kStderrTailBytes = 4096;

// What few tasks have while they live; out of line to keep TaskRecord small.
struct TaskDetail {
  std::string request_id;
  std::unique_ptr<ProgressReport> progress;
  std::vector<ExitReport> earlier;  // at most kMaxEarlierAttempts, the oldest go first
  std::array<std::unique_ptr<OutputBuffer>, 2> output;  // stdout, stderr
  uint64_t partial_results = 0;                         // of this attempt
  int64_t next_attempt_ns = 0;                          // monotonic; 0: no retry is pending
};

// How a task ended, beyond its state. Absent for a success without a value.
struct TaskOutcome {
  Bytes value;
  std::string content_type;
  std::string error;
  std::unique_ptr<ExitReport> report;
};

// One known task. A million queued ones must fit well below 500 bytes each together with what the
// scheduler keeps of them, hence the packing.
struct TaskRecord {
  TaskId id = 0;  // 0: the slot is free
  uint64_t tag = 0;
  std::shared_ptr<const TaskOptions> options;
  Bytes payload;  // command runtime: a command block (common/zygote/command_codec.h)
  std::unique_ptr<TaskDetail> detail;
  std::unique_ptr<TaskOutcome> outcome;
  // Unix nanoseconds; 0: not yet. `started_ns` is of the latest attempt.
  int64_t submitted_ns = 0;
  int64_t first_started_ns = 0;
  int64_t started_ns = 0;
  int64_t finished_ns = 0;
  int64_t expires_ns = 0;  // monotonic; while kept_by_ttl
  scheduler::PoolKey pool = 0;
  uint32_t uid = 0;
  uint32_t session = kNone;  // index of the session its events go to
  uint32_t attempt = 0;
  // Of the latest dispatch.
  uint32_t worker_index = kNone;
  uint32_t worker_generation = 0;
  int32_t worker_pid = 0;
  // Links of the list the task is in: its session's, until the session has its end; then the list
  // of finished tasks.
  TaskSlot previous = kNone;
  TaskSlot next = kNone;
  scheduler::TaskState state = scheduler::TaskState::kQueued;
  scheduler::EndCause cause = scheduler::EndCause::kNone;
  bool has_waiters : 1 = false;
  bool kept_by_ttl : 1 = false;       // in FinishedTasks
  bool own_ttl : 1 = false;           // there, with a time of its own
  bool outlives_session : 1 = false;  // submitted outside sessions: none of them ends it

  TaskDetail& EnsureDetail() {
    if (!detail) detail = std::make_unique<TaskDetail>();
    return *detail;
  }
  TaskOutcome& EnsureOutcome() {
    if (!outcome) outcome = std::make_unique<TaskOutcome>();
    return *outcome;
  }
  // Null when there were none.
  const std::vector<ExitReport>* earlier_attempts() const {
    return detail && !detail->earlier.empty() ? &detail->earlier : nullptr;
  }
  // Forgets what it wrote; how much it was stays known.
  void DropOutput();
  // Memory held by a finished task, for the bounds of unread and kept results.
  size_t footprint_bytes() const;
};
static_assert(sizeof(TaskRecord) <= 200, "a million queued tasks have one each");

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_TASK_RECORD_H_
