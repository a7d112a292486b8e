#include "server/worker/leftovers.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/os/pidfd.h"
#include "common/os/process_tree.h"

namespace prefork::worker {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(1);

bool HasChildren() {
  siginfo_t info = {};
  return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD;
}

}  // namespace

void KillLeftovers(const std::function<bool(pid_t)>& spare) {
  const absl::Time deadline = absl::Now() + kPatience;
  while (HasChildren() && absl::Now() < deadline) {
    bool found = false;
    for (const pid_t pid : os::ListChildren(getpid())) {
      if (spare && spare(pid)) continue;
      // A child can't vanish while nobody reaps it, so its number means it.
      const absl::StatusOr<os::Pidfd> child = os::Pidfd::Open(pid);
      if (!child.ok()) continue;
      found = true;
      if (os::KillTree(*child, deadline - absl::Now()).ok()) waitpid(pid, nullptr, WNOHANG);
    }
    if (!found) return;
  }
}

void EndWorker(int exit_code) {
  std::fflush(nullptr);
  KillLeftovers();
  _exit(exit_code);
}

}  // namespace prefork::worker
