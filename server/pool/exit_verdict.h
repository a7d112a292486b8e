#ifndef PREFORK_SERVER_POOL_EXIT_VERDICT_H_
#define PREFORK_SERVER_POOL_EXIT_VERDICT_H_

#include <string>

#include "server/pool/pool_observer.h"
#include "server/pool/pool_spec.h"

namespace prefork::pool {

// What is known of a worker's end.
struct ExitFacts {
  std::optional<int> wait_status;  // unset: nobody could reap it
  bool was_ready = false;
  bool dedicated = false;
  ExitReason asked = ExitReason::kNone;  // what the pool or its owner killed it for
  std::string asked_detail;
  ExitReason retired = ExitReason::kNone;  // what it was politely asked to end for
  bool oom_kill_counted = false;           // the kernel counted an OOM kill for it
};

// Names the reason of the end in one place. Fills reason, wait_status, out_of_memory and detail.
WorkerExit JudgeExit(const ExitFacts& facts);

// A SIGKILL that nobody here sent: the one case where the OOM counters are asked.
bool IsUnexplainedKill(const ExitFacts& facts);

// Did the worker end against everybody's will?
bool IsUnexpected(ExitReason reason);

}  // namespace prefork::pool

#endif  // PREFORK_SERVER_POOL_EXIT_VERDICT_H_
