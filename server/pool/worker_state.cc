#include "server/pool/worker_state.h"

namespace prefork::pool {
namespace {

struct Transition {
  WorkerState from;
  WorkerEvent event;
  WorkerState to;
};

constexpr Transition kTransitions[] = {
    {WorkerState::kForking, WorkerEvent::kForked, WorkerState::kStarting},
    {WorkerState::kForking, WorkerEvent::kForkFailed, WorkerState::kExited},
    {WorkerState::kStarting, WorkerEvent::kReady, WorkerState::kReady},
    {WorkerState::kStarting, WorkerEvent::kRetire, WorkerState::kRetiring},
    {WorkerState::kStarting, WorkerEvent::kDied, WorkerState::kDead},
    {WorkerState::kReady, WorkerEvent::kRetire, WorkerState::kRetiring},
    {WorkerState::kReady, WorkerEvent::kDied, WorkerState::kDead},
    {WorkerState::kRetiring, WorkerEvent::kDied, WorkerState::kDead},
    {WorkerState::kDead, WorkerEvent::kSettled, WorkerState::kExited},
};

}  // namespace

const char* WorkerStateName(WorkerState state) {
  switch (state) {
    case WorkerState::kForking:
      return "FORKING";
    case WorkerState::kStarting:
      return "STARTING";
    case WorkerState::kReady:
      return "READY";
    case WorkerState::kRetiring:
      return "RETIRING";
    case WorkerState::kDead:
      return "DEAD";
    case WorkerState::kExited:
      return "EXITED";
  }
  return "UNKNOWN";
}

std::optional<WorkerState> NextState(WorkerState state, WorkerEvent event) {
  for (const Transition& transition : kTransitions) {
    if (transition.from == state && transition.event == event) return transition.to;
  }
  return std::nullopt;
}

}  // namespace prefork::pool
