#ifndef PREFORK_CLIENT_CLI_FORMAT_H_
#define PREFORK_CLIENT_CLI_FORMAT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cli/style.h"
#include "client/cli/table.h"
#include "prefork/v1/pool.pb.h"
#include "prefork/v1/task.pb.h"

// The API's messages as words for people.
namespace prefork::cli {

// The last word of an enum's name in small letters: TASK_STATE_TIMED_OUT -> "timed_out".
std::string StateName(v1::TaskState state);
std::string CauseName(v1::EndCause cause);
std::string PoolStateName(v1::PoolState state);
std::string WorkerStateName(v1::WorkerState state);
std::string WorkerExitReasonName(v1::WorkerExitReason reason);
std::string RuntimeName(v1::Runtime runtime);
// INVALID_ARGUMENT with the nearest name.
absl::StatusOr<v1::TaskState> ParseTaskState(const std::string& name);
absl::StatusOr<v1::Runtime> ParseRuntime(const std::string& name);

bool IsTerminal(v1::TaskState state);
Color ColorOf(v1::TaskState state);
Color ColorOf(v1::PoolState state);
Color ColorOf(v1::WorkerState state);

absl::Duration ToDuration(const google::protobuf::Duration& duration);
absl::Time ToTime(const google::protobuf::Timestamp& time);

// Two significant units at most: "1.2ms", "3.4s", "2m05s", "1h10m", "3d4h".
std::string ShortDuration(absl::Duration duration);
// "812B", "14.2MiB".
std::string ShortBytes(uint64_t bytes);
// "14:03:22.120", with the date when it is not today's.
std::string ShortTime(absl::Time time, absl::Time now);

// What the task does, on one line of at most `width` characters.
std::string Summary(const v1::TaskSpec& spec, size_t width);

// The lines of an exit report, each "name  value".
std::vector<std::string> ReportLines(const v1::ExitReport& report);

// A shell's code for a task that ended so: its command's own, 128+N for a signal, 124 (as
// timeout(1)) when it timed out, else 0 for success and 1.
int TaskExitCode(const v1::TaskResult& result);

}  // namespace prefork::cli

#endif  // PREFORK_CLIENT_CLI_FORMAT_H_
