#ifndef PREFORK_COMMON_OS_PROCESS_TREE_H_
#define PREFORK_COMMON_OS_PROCESS_TREE_H_

#include <sys/types.h>

#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

// Signals whole process trees; the design note is in process_tree.cc.
namespace prefork::os {

// Direct children of a process, zombies among them. Empty when the process is gone.
std::vector<pid_t> ListChildren(pid_t pid);
// All processes below `root` (without it), and those of its session and process group when it leads
// them, so that what a dead root left behind is found too. Zombies are left out.
std::vector<pid_t> ListDescendants(pid_t root);

// One pass: signals `root`, the process groups its tree leads, and every descendant, also those
// that called setsid. `root` may be gone already. Does not wait. PERMISSION_DENIED names the first
// process that could not be signalled.
absl::Status SignalTree(pid_t root, int signal);

// SIGKILLs the tree of `root` and `root` itself until nothing of it is left but zombies, waiting on
// pidfds at most `timeout`. DEADLINE_EXCEEDED names survivors (processes in uninterruptible sleep).
// Does not reap.
absl::Status KillTree(pid_t root, absl::Duration timeout);

}  // namespace prefork::os

#endif  // PREFORK_COMMON_OS_PROCESS_TREE_H_
