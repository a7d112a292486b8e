#ifndef PREFORK_COMMON_OS_SIGNAL_H_
#define PREFORK_COMMON_OS_SIGNAL_H_

#include <initializer_list>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/os/fd.h"

namespace prefork::os {

// Blocks the signals for the calling thread and the threads it starts later. Call before the first
// thread starts.
absl::Status BlockSignals(std::initializer_list<int> signals);
// Empties the calling thread's mask and sets every disposition to the default: for a process fresh
// from fork.
void ResetSignals();
// Ignores them in the whole process. What SIGPIPE and SIGXFSZ mean is seen as EPIPE and EFBIG.
void IgnoreSignals(std::initializer_list<int> signals);

// A non-blocking descriptor that is readable when one of the (blocked) signals is pending.
absl::StatusOr<Fd> CreateSignalfd(std::initializer_list<int> signals);
// The next pending signal's number, or nothing.
std::optional<int> ReadSignalfd(int fd);

}  // namespace prefork::os

#endif  // PREFORK_COMMON_OS_SIGNAL_H_
