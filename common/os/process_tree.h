#ifndef PREFORK_COMMON_OS_PROCESS_TREE_H_
#define PREFORK_COMMON_OS_PROCESS_TREE_H_

#include <sys/types.h>

#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/os/pidfd.h"

// Signals whole process trees; the design note is in process_tree.cc.
namespace prefork::os {

// Direct children of a process, zombies among them. Empty when the process is gone.
std::vector<pid_t> ListChildren(pid_t pid);

// All live processes below `root` (without it) and those of the session and process group it leads,
// so that what a dead root left behind is found too. A descendant that left the session and whose
// parents are dead is out of sight: it is a child of the nearest subreaper then, who finds it with
// ListChildren(getpid()).
std::vector<pid_t> ListDescendants(const Pidfd& root);

// Signals `root`, the process groups its tree leads and every descendant, also those that called
// setsid, each once. `root` may have ended. Does not wait. While `root` lives, double-forked
// processes are reached only if it is a subreaper, or through a group that the tree leads.
// PERMISSION_DENIED names the first process that could not be signalled.
absl::Status SignalTree(const Pidfd& root, int signal);

// The same for the descendants only, each by itself, not through groups.
absl::Status SignalDescendants(const Pidfd& root, int signal);

// SIGKILLs the tree of `root` and `root` itself until nothing of it is left but zombies, waiting on
// pidfds at most `timeout`. DEADLINE_EXCEEDED names survivors (processes in uninterruptible sleep).
// Does not reap.
absl::Status KillTree(const Pidfd& root, absl::Duration timeout);

}  // namespace prefork::os

#endif  // PREFORK_COMMON_OS_PROCESS_TREE_H_
