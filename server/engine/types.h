#ifndef PREFORK_SERVER_ENGINE_TYPES_H_
#define PREFORK_SERVER_ENGINE_TYPES_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/shm/segment.h"
#include "server/pool/pool_spec.h"
#include "server/scheduler/types.h"

// The engine's view of what clients ask for and get: plain data, no protobuf.
namespace prefork::engine {

using TaskId = uint64_t;
using SessionId = uint64_t;
using OrderId = uint64_t;  // of a change of a pool that somebody waits for

// A payload or value: small ones inline, large ones in a segment. Kept small, because a million
// queued tasks have one each.
class Bytes {
 public:
  Bytes() = default;
  explicit Bytes(std::string inline_bytes) : inline_(std::move(inline_bytes)) {}
  // Whose segment it is: the task's alone, or lent by a client, which may use it for other tasks and
  // again after this one.
  enum class Owner : uint8_t { kTask, kClient };
  // `size_bytes` of the segment from `offset` on; no more than its capacity.
  Bytes(shm::SegmentRef segment, size_t size_bytes, size_t offset = 0, Owner owner = Owner::kTask);
  Bytes(const Bytes& other);
  Bytes& operator=(const Bytes& other);
  Bytes(Bytes&&) = default;
  Bytes& operator=(Bytes&&) = default;

  size_t size() const { return segment_ ? segment_->size_bytes : inline_.size(); }
  bool empty() const { return size() == 0; }
  std::string_view view() const;
  // Null when the bytes are inline.
  const shm::SegmentRef& segment() const { return segment_ ? segment_->segment : kNoSegment; }
  // Where they begin in the segment.
  size_t offset() const { return segment_ ? segment_->offset : 0; }
  bool is_lent() const { return segment_ && segment_->owner == Owner::kClient; }
  // Gives a lent segment up; the size stays known. The view is empty then.
  void GiveBack();
  bool given_back() const { return segment_ && segment_->segment == nullptr; }
  // The size, unless the memory is counted where it was leased.
  size_t owned_bytes() const { return is_lent() ? 0 : size(); }
  // Memory held: the segment's whole capacity when there is one. What is lent counts where it was
  // leased.
  size_t footprint_bytes() const;

 private:
  struct Part {
    shm::SegmentRef segment;  // null: given back
    size_t size_bytes;
    size_t offset;
    Owner owner;
  };
  static inline const shm::SegmentRef kNoSegment;
  std::string inline_;
  std::unique_ptr<Part> segment_;
};

struct CommandSpec {
  std::vector<std::string> argv;
  std::vector<std::pair<std::string, std::string>> env;
  std::string cwd;
  std::vector<std::pair<int, uint64_t>> limits;  // RLIMIT_* and value
};

// Everything of a TaskSpec that tasks of one batch share. Immutable once submitted.
struct TaskOptions {
  std::string pool = "default";
  std::string function;
  std::optional<CommandSpec> command;
  std::string content_type;
  int32_t priority = 0;
  absl::Duration delay;  // zero: none
  absl::Time not_before = absl::InfinitePast();
  std::optional<absl::Duration> timeout;  // unset: the pool's
  std::optional<absl::Duration> grace;    // unset: the pool's
  absl::Duration queue_timeout;           // zero: none
  scheduler::RetryPolicy retry;
  std::vector<TaskId> after;
  std::map<std::string, std::string> labels;
  std::optional<absl::Duration> result_ttl;  // unset: the daemon's
  bool dedicated = false;
  bool detached = false;
};

struct TaskSubmission {
  uint64_t tag = 0;  // the session's own number
  // In a batch: unset when they are those of the task before it. Two threads that count references
  // to the same options for each task would be in each other's way.
  std::shared_ptr<const TaskOptions> options;
  std::string request_id;
  Bytes payload;
};

// A task that was refused before it came to the engine.
struct Rejection {
  uint64_t tag = 0;
  absl::Status why;
};

struct ExitReport {
  scheduler::EndCause cause = scheduler::EndCause::kNone;
  std::string detail;
  uint32_t attempt = 0;
  uint32_t worker_index = 0;
  uint32_t worker_generation = 0;
  int32_t pid = 0;
  std::optional<int> wait_status;  // of the worker, or of the command it ran
  bool out_of_memory = false;
  absl::Duration run_time;
  absl::Duration queue_time;
  std::optional<absl::Duration> cpu_time;
  uint64_t peak_rss_bytes = 0;
  std::string stderr_tail;
};

struct ProgressReport {
  double done = 0;
  double total = 0;
  std::string text;
};

enum class OutputStream : uint8_t { kStdout = 1, kStderr = 2 };

// A snapshot of one task.
struct TaskInfo {
  TaskId id = 0;
  scheduler::TaskState state = scheduler::TaskState::kQueued;
  std::shared_ptr<const TaskOptions> options;
  std::string request_id;
  uint64_t payload_bytes = 0;
  uint32_t attempt = 0;
  absl::Time submitted_at, started_at, finished_at;  // InfinitePast: not yet
  std::optional<ProgressReport> progress;
  std::optional<std::pair<uint32_t, uint32_t>> worker;  // index, generation
  int32_t worker_pid = 0;
  uint64_t stdout_bytes = 0, stderr_bytes = 0;
  std::string waiting_for;
  uint32_t uid = 0;
  // Terminal only.
  Bytes value;
  std::string value_content_type;
  std::string error;
  std::optional<ExitReport> exit_report;
  std::vector<ExitReport> earlier_attempts;
};

enum class PoolState : uint8_t { kStarting = 1, kReady, kPaused, kDraining, kDegraded, kDeleted };

struct PoolInfo {
  pool::PoolSpec spec;
  PoolState state = PoolState::kStarting;
  std::string reason;
  uint32_t workers_starting = 0, workers_idle = 0, workers_busy = 0, workers_retiring = 0;
  uint64_t tasks_waiting = 0, tasks_queued = 0, tasks_dispatched = 0, tasks_running = 0,
           tasks_finished = 0;
  uint64_t queued_bytes = 0;
  uint64_t worker_exits = 0;
  int32_t zygote_pid = 0;
};

enum class WorkerState : uint8_t { kStarting = 1, kIdle, kBusy, kRetiring, kExited };

struct WorkerInfo {
  std::string pool;
  uint32_t index = 0;
  uint32_t generation = 0;
  int32_t pid = 0;
  WorkerState state = WorkerState::kStarting;
  bool dedicated = false;
  absl::Time started_at;
  uint64_t tasks_done = 0;
  TaskId running_task = 0;
  uint32_t lane_depth = 0;
  uint64_t rss_bytes = 0;
  absl::Duration cpu_time;
  pool::ExitReason exit_reason = pool::ExitReason::kNone;
};

struct FunctionInfo {
  std::string pool, name, description;
};

struct StatusInfo {
  TaskId first_task_id = 0;
  absl::Time started_at;
  uint32_t sessions = 0;
  uint64_t tasks_known = 0, tasks_unfinished = 0, last_sequence = 0;
  uint64_t segment_bytes_leased = 0, segment_bytes_warm = 0, wakeups = 0;
  std::vector<PoolInfo> pools;
  std::vector<std::string> warnings;
  bool draining = false;
};

// Who asks. Root and the daemon's own user see and do everything; others only what is theirs.
struct Caller {
  uint32_t uid = 0;
  bool privileged = false;
  int32_t pid = 0;  // of the process that connected; 0: not on this host
};

// One entry of the event log, and of a session's stream.
struct EventRecord {
  enum class Kind : uint8_t {
    kState,
    kRetry,
    kFinished,
    kOutput,
    kProgress,
    kPartial,
    kWorker,
    kPool
  };
  uint64_t sequence = 0;
  absl::Time time;
  Kind kind = Kind::kState;
  TaskId task = 0;
  scheduler::TaskState state = scheduler::TaskState::kQueued;
  scheduler::EndCause cause = scheduler::EndCause::kNone;
  uint32_t attempt = 0;
  uint32_t worker_index = scheduler::kNone;
  uint32_t worker_generation = 0;
  // kOutput
  OutputStream stream = OutputStream::kStdout;
  uint64_t offset = 0;
  // kOutput, kPartial: the bytes; kPartial: `offset` is the index. Shared, immutable.
  std::shared_ptr<const std::string> data;
  std::shared_ptr<const std::string> content_type;
  std::shared_ptr<const ProgressReport> progress;
  std::shared_ptr<const ExitReport> report;  // kRetry; kWorker when it exited
  absl::Time next_attempt_at;                // kRetry
  std::shared_ptr<const WorkerInfo> worker;  // kWorker
  std::shared_ptr<const PoolInfo> pool;      // kPool
};

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_TYPES_H_
