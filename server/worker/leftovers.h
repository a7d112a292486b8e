#ifndef PREFORK_SERVER_WORKER_LEFTOVERS_H_
#define PREFORK_SERVER_WORKER_LEFTOVERS_H_

#include <sys/types.h>

#include <functional>

namespace prefork::worker {

// Kills (SIGKILL) and reaps the children of this process that `spare` does not protect, with their
// whole trees. What they leave behind becomes our child (we are a subreaper) and is next. One
// system call when there are no children. Gives up on a process in uninterruptible sleep after a
// second; it stays our child.
void KillLeftovers(const std::function<bool(pid_t)>& spare = {});

// Ends this worker without running the destructors of its zygote, after its children.
[[noreturn]] void EndWorker(int exit_code);

}  // namespace prefork::worker

#endif  // PREFORK_SERVER_WORKER_LEFTOVERS_H_
