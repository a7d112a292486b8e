// prefork-worker with a saboteur inside: strikes once, where and when a StrikeFile says. For faults
// that strike in the same way in every process, see prefork-worker-faulty.
//
//   kill          SIGKILL itself
//   damage NAME   write nonsense into the lane (lane_vandal.h), then go on
//   ruin NAME     the same, then SIGKILL itself
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "server/worker/step_observer.h"
#include "server/worker/zygote_main.h"
#include "tests/fault/lane_vandal.h"
#include "tests/fault/strike_file.h"

namespace prefork::fault {
namespace {

using worker::WorkerPlace;
using worker::WorkerStep;

constexpr int kBrokenTest = 99;  // exit code that no test expects

std::string_view StepName(WorkerStep step) {
  switch (step) {
    case WorkerStep::kForked:
      return "forked";
    case WorkerStep::kBeforeReady:
      return "before-ready";
    case WorkerStep::kBeforeClaim:
      return "before-claim";
    case WorkerStep::kClaimed:
      return "claimed";
    case WorkerStep::kResultWritten:
      return "result-written";
    case WorkerStep::kResultPublished:
      return "result-published";
    case WorkerStep::kResultAnnounced:
      return "result-announced";
    case WorkerStep::kReleased:
      return "released";
  }
  return "";
}

class Saboteur final : public worker::StepObserver {
 public:
  explicit Saboteur(const char* file) : file_(file == nullptr ? "" : file) {}

  void OnWorkerStep(WorkerStep step, const WorkerPlace& place) override {
    if (const std::optional<Strike> strike = TakeStrike(file_, StepName(step))) {
      CarryOut(*strike, place);
    }
  }
  void OnZygoteStep(worker::ZygoteStep, zygote::ControlSocket&) override {}

 private:
  static void CarryOut(const Strike& strike, const WorkerPlace& place) {
    if (strike.action == "kill") raise(SIGKILL);
    const bool damages = strike.action == "damage" || strike.action == "ruin";
    if (!damages || place.lane == nullptr ||
        !Vandalise(strike.argument, place.task_id, *place.lane)) {
      std::fprintf(stderr, "no such strike: %s %s\n", strike.action.c_str(),
                   strike.argument.c_str());
      _exit(kBrokenTest);
    }
    if (strike.action == "ruin") raise(SIGKILL);
  }

  const std::string file_;
};

}  // namespace
}  // namespace prefork::fault

int main(int argc, char** argv) {
  prefork::fault::Saboteur saboteur(std::getenv(prefork::fault::kStrikeVariable));
  return prefork::worker::ZygoteMain(argc, argv, &saboteur);
}
