#ifndef PREFORK_CLIENT_CPP_INCLUDE_PREFORK_TASK_H_
#define PREFORK_CLIENT_CPP_INCLUDE_PREFORK_TASK_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "prefork/segment.h"

// What a program asks for (TaskSpec) and what it gets (TaskResult, TaskEvent). These mirror the
// messages of proto/prefork/v1/task.proto, which documents every field at length.
namespace prefork::client {

enum class TaskState {
  kUnspecified = 0,
  kQueued = 1,
  kDispatched = 2,
  kRunning = 3,
  kSucceeded = 4,
  kFailed = 5,    // the task's own error
  kCrashed = 6,   // the process that ran it died
  kTimedOut = 7,  // ran or waited longer than it was allowed to
  kCancelled = 8,
};
bool IsTerminal(TaskState state);
// "succeeded", "timed_out", ...
std::string_view TaskStateName(TaskState state);

enum class EndCause {
  kUnspecified = 0,
  kCompleted = 1,
  kTaskError = 2,
  kWorkerDied = 3,
  kOutOfMemory = 4,
  kTimeout = 5,
  kCancelledByClient = 6,
  kClientGone = 7,
  kProtocolViolation = 8,
  kDependencyFailed = 9,
  kQueueExpired = 10,
  kPoolDeleted = 11,
  kShutdown = 12,
  kStartFailed = 13,
  kInternalLimit = 14,
};
// "completed", "worker_died", ...
std::string_view EndCauseName(EndCause cause);

// One setrlimit(2) resource of a command's processes.
struct ResourceLimit {
  enum class Resource {
    kCpuSeconds = 1,
    kAddressSpace = 2,
    kFileSize = 3,
    kOpenFiles = 4,
    kCoreSize = 5,
    kStackSize = 6,
    kProcesses = 7,
  };
  Resource resource{};
  uint64_t value = 0;
};

// A program to execute, in a pool with the runtime `command`.
struct Command {
  std::vector<std::string> argv{};
  std::map<std::string, std::string> env{};  // in addition to the pool's
  std::string cwd{};                         // empty: the pool's
  std::string stdin_data{};
  std::vector<ResourceLimit> limits{};
};

struct RetryPolicy {
  enum class Cause { kTaskError = 1, kCrash = 2, kOutOfMemory = 3, kTimeout = 4 };
  uint32_t max_attempts = 0;  // the first included; 0 and 1: no retry
  std::vector<Cause> on{};    // empty: crashes
  std::optional<absl::Duration> backoff{};
  double multiplier = 0;  // 0: the daemon's default
  std::optional<absl::Duration> max_backoff{};
};

struct TaskSpec {
  std::string pool{};      // empty: "default"
  std::string function{};  // or `command`
  std::optional<Command> command{};
  std::string payload{};
  std::string content_type{};
  int priority = 0;  // -1000 to 1000, larger runs first
  std::optional<absl::Duration> delay{};
  std::optional<absl::Time> not_before{};
  std::optional<absl::Duration> timeout{};
  std::optional<absl::Duration> grace{};
  std::optional<absl::Duration> queue_timeout{};
  RetryPolicy retry{};
  std::vector<uint64_t> after{};  // runs when all of these tasks have succeeded
  std::string request_id{};       // makes a repeated submit the same task
  std::map<std::string, std::string> labels{};
  std::optional<absl::Duration> result_ttl{};
  bool dedicated = false;          // a fresh process of its own
  bool detached = false;           // outlives the session, and is taken up again after a reconnect
  SegmentSlice payload_segment{};  // instead of `payload`: in place, if the daemon is on this host
};

// Everything known about how an attempt ended.
struct ExitReport {
  EndCause cause = EndCause::kUnspecified;
  std::string detail{};  // one sentence for people
  uint32_t attempt = 0;
  uint32_t worker_index = 0;
  uint32_t worker_generation = 0;
  int32_t pid = 0;
  std::optional<int> exit_code{};
  std::optional<int> signal{};
  std::string signal_name{};
  bool out_of_memory = false;
  absl::Duration run_time{};
  absl::Duration queue_time{};
  std::optional<absl::Duration> cpu_time{};
  uint64_t peak_rss_bytes = 0;
  std::string stderr_tail{};
  std::vector<ExitReport> earlier{};  // attempts before this one, oldest first
};

// The end of a task.
struct TaskResult {
  TaskState state = TaskState::kUnspecified;
  std::string value{};  // empty when it is in `mapped`
  // A large value as the worker left it in memory, without a copy; only with
  // ConnectOptions::map_values, else always null.
  std::shared_ptr<const MappedValue> mapped{};
  std::string content_type{};
  std::string error{};  // the task's own words when it FAILED
  // Set unless SUCCEEDED, and then on request (EventOptions::exit_reports).
  std::shared_ptr<const ExitReport> exit_report{};

  bool ok() const { return state == TaskState::kSucceeded; }
  // The value, wherever it is. Valid as long as this result, or a copy of it if it is mapped.
  std::string_view value_view() const { return mapped != nullptr ? mapped->view() : value; }
};

// OK for a success; ABORTED for a crash, DEADLINE_EXCEEDED for a time-out, CANCELLED, and UNKNOWN
// for the task's own error, each with the task's words and the exit report's sentence.
absl::Status ToStatus(const TaskResult& result);

struct StateChanged {
  TaskState state = TaskState::kUnspecified;
  EndCause cause = EndCause::kUnspecified;
  uint32_t attempt = 0;
  std::optional<uint32_t> worker_index{};
  uint32_t worker_generation = 0;
};
struct OutputWritten {
  bool is_stderr = false;
  uint64_t offset = 0;  // a gap: bytes in between were dropped
  std::string data{};
};
struct ProgressMade {
  double done = 0;
  double total = 0;  // 0: unknown
  std::string text{};
};
struct PartialValue {
  uint64_t index = 0;
  std::string value{};
  std::string content_type{};
};
struct RetryPlanned {
  ExitReport report{};
  absl::Time next_attempt_at{};
};
// What happened to a task before its end. Which kinds arrive is chosen by EventOptions.
using TaskEvent =
    std::variant<StateChanged, OutputWritten, ProgressMade, PartialValue, RetryPlanned>;

}  // namespace prefork::client

#endif  // PREFORK_CLIENT_CPP_INCLUDE_PREFORK_TASK_H_
