#include "tests/server/scheduler/describe.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "server/scheduler/action.h"
#include "server/scheduler/types.h"

namespace prefork::scheduler {

std::string Describe(const Action& action) {
  const std::string cause(EndCauseName(action.cause));
  switch (action.kind) {
    case Action::Kind::kDispatch:
      return absl::StrCat("dispatch ", action.task, " w", action.worker,
                          action.attempt > 1 ? absl::StrCat(" attempt ", action.attempt) : "",
                          action.notify_start ? " notify" : "");
    case Action::Kind::kRevoke:
      return absl::StrCat("revoke ", action.task, " w", action.worker);
    case Action::Kind::kAskToStop:
      return absl::StrCat("ask ", action.task, " w", action.worker, " ", cause);
    case Action::Kind::kKillWorker:
      return absl::StrCat("kill w", action.worker, " for ", action.task, " ", cause);
    case Action::Kind::kStartDedicated:
      return absl::StrCat("start worker for ", action.task);
    case Action::Kind::kStateChanged:
      return absl::StrCat("state ", action.task, " ", std::string(TaskStateName(action.state)),
                          action.cause == EndCause::kNone ? "" : absl::StrCat(" ", cause));
    case Action::Kind::kRetryScheduled:
      return absl::StrCat("retry ", action.task, " after attempt ", action.attempt, " ", cause);
    case Action::Kind::kWorkerIdle:
      return absl::StrCat("idle w", action.worker);
    case Action::Kind::kWorkerRests:
      return absl::StrCat("w", action.worker, " rests");
  }
  return "unknown action";
}

}  // namespace prefork::scheduler
