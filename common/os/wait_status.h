#ifndef PREFORK_COMMON_OS_WAIT_STATUS_H_
#define PREFORK_COMMON_OS_WAIT_STATUS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace prefork::os {

// What wait(2) said, in words: "exited with code 7", "killed by signal 11 (SIGSEGV)", "killed by
// signal 6 (SIGABRT), core dumped".
std::string DescribeWaitStatus(int wait_status);
// The shell's exit code for it: the code itself, or 128 + signal.
int ShellExitCode(int wait_status);

// "SIGTERM"; "signal 77" for one without a name; real-time signals are "SIGRTMIN+3".
std::string SignalName(int signal);
// Understands "SIGTERM", "TERM", "term", "15" and "SIGRTMIN+3". INVALID_ARGUMENT names the text and
// what is accepted.
absl::StatusOr<int> ParseSignal(absl::string_view text);

}  // namespace prefork::os

#endif  // PREFORK_COMMON_OS_WAIT_STATUS_H_
