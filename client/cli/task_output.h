#ifndef PREFORK_CLIENT_CLI_TASK_OUTPUT_H_
#define PREFORK_CLIENT_CLI_TASK_OUTPUT_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/context.h"
#include "prefork/v1/task.pb.h"

// What verbs print of a task when it has ended.
namespace prefork::cli {

// Writes bytes as they are to stdout or stderr, and flushes: somebody may be reading along.
void WriteOut(bool to_stderr, const std::string& data);

// Says on stderr how a task ended that did not succeed: one line, and the exit report below it.
void ExplainEnd(Context& context, uint64_t task_id, const v1::TaskResult& result);

// Prints the value of a succeeded task (fetched when large), and a final line break on a terminal.
absl::Status PrintValue(Context& context, uint64_t task_id, const v1::TaskResult& result);

// Follows the task's output until it has ended, then prints its value, explains its end, and
// answers with its exit code.
absl::StatusOr<int> FollowToEnd(Context& context, uint64_t task_id, bool print_value);
// The same without the output.
absl::StatusOr<int> WaitToEnd(Context& context, uint64_t task_id, bool print_value);

}  // namespace prefork::cli

#endif  // PREFORK_CLIENT_CLI_TASK_OUTPUT_H_
