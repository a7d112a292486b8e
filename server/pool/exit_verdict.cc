#include "server/pool/exit_verdict.h"

#include <signal.h>
#include <sys/wait.h>

#include "absl/strings/str_cat.h"
#include "common/os/wait_status.h"

namespace prefork::pool {
namespace {

ExitReason JudgeReason(const ExitFacts& facts) {
  if (facts.asked != ExitReason::kNone) return facts.asked;
  if (facts.retired == ExitReason::kShutdown) return facts.retired;
  if (facts.oom_kill_counted && facts.was_ready) return ExitReason::kOutOfMemory;
  const bool exited = facts.wait_status && WIFEXITED(*facts.wait_status);
  if (facts.retired != ExitReason::kNone && exited && WEXITSTATUS(*facts.wait_status) == 0) {
    return facts.retired;
  }
  if (!facts.was_ready) return ExitReason::kStartFailed;
  if (facts.dedicated && exited) return ExitReason::kDedicatedDone;
  return ExitReason::kCrashed;
}

}  // namespace

bool IsUnexplainedKill(const ExitFacts& facts) {
  return facts.asked == ExitReason::kNone && facts.retired != ExitReason::kShutdown &&
         facts.wait_status && WIFSIGNALED(*facts.wait_status) &&
         WTERMSIG(*facts.wait_status) == SIGKILL;
}

bool IsUnexpected(ExitReason reason) {
  return reason == ExitReason::kCrashed || reason == ExitReason::kOutOfMemory ||
         reason == ExitReason::kProtocolViolation || reason == ExitReason::kStartFailed;
}

WorkerExit JudgeExit(const ExitFacts& facts) {
  WorkerExit exit;
  exit.reason = JudgeReason(facts);
  exit.wait_status = facts.wait_status;
  exit.out_of_memory = facts.oom_kill_counted;
  const std::string how = facts.wait_status ? os::DescribeWaitStatus(*facts.wait_status)
                                            : "ended, but its exit status was lost with its zygote";
  if (facts.asked != ExitReason::kNone) {
    exit.detail = absl::StrCat(facts.asked_detail.empty() ? "ended on demand" : facts.asked_detail,
                               "; ", how);
  } else if (facts.oom_kill_counted) {
    exit.detail = absl::StrCat(
        how,
        ": the kernel's OOM killer ended it. Give the daemon more memory, or lower the pool's "
        "size or max_worker_rss");
  } else if (exit.reason == ExitReason::kStartFailed) {
    exit.detail = absl::StrCat(how, " before it was ready");
  } else {
    exit.detail = how;
  }
  return exit;
}

}  // namespace prefork::pool
