#include "prefork/task.h"

#include <array>
#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace prefork::client {
namespace {

constexpr std::array<std::string_view, 9> kStateNames = {"unspecified", "queued",    "dispatched",
                                                         "running",     "succeeded", "failed",
                                                         "crashed",     "timed_out", "cancelled"};

constexpr std::array<std::string_view, 15> kCauseNames = {
    "unspecified",        "completed",         "task_error",          "worker_died",
    "out_of_memory",      "timeout",           "cancelled_by_client", "client_gone",
    "protocol_violation", "dependency_failed", "queue_expired",       "pool_deleted",
    "shutdown",           "start_failed",      "internal_limit"};

absl::StatusCode CodeOf(const TaskResult& result) {
  switch (result.state) {
    case TaskState::kSucceeded:
      return absl::StatusCode::kOk;
    case TaskState::kCrashed:
      return absl::StatusCode::kAborted;
    case TaskState::kTimedOut:
      return absl::StatusCode::kDeadlineExceeded;
    case TaskState::kCancelled:
      return absl::StatusCode::kCancelled;
    default:
      return absl::StatusCode::kUnknown;
  }
}

}  // namespace

bool IsTerminal(TaskState state) { return state >= TaskState::kSucceeded; }

std::string_view TaskStateName(TaskState state) {
  const auto index = static_cast<size_t>(state);
  return index < kStateNames.size() ? kStateNames[index] : "unknown";
}

std::string_view EndCauseName(EndCause cause) {
  const auto index = static_cast<size_t>(cause);
  return index < kCauseNames.size() ? kCauseNames[index] : "unknown";
}

absl::Status ToStatus(const TaskResult& result) {
  if (result.ok()) return absl::OkStatus();
  std::string message = absl::StrCat("task ", std::string(TaskStateName(result.state)));
  if (!result.error.empty()) absl::StrAppend(&message, ": ", result.error);
  if (result.exit_report != nullptr && !result.exit_report->detail.empty()) {
    absl::StrAppend(&message, ": ", result.exit_report->detail);
  }
  return {CodeOf(result), message};
}

}  // namespace prefork::client
