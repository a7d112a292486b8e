#ifndef PREFORK_TESTS_SERVER_WORKER_FAULT_PLAN_H_
#define PREFORK_TESTS_SERVER_WORKER_FAULT_PLAN_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/worker/step_observer.h"

namespace prefork::worker_testing {

// Variables of the program prefork-worker-faulty: faults that strike in every process whenever they
// apply, and a file with faults that strike once.
inline constexpr char kFaultVariable[] = "PREFORK_FAULT";
inline constexpr char kFaultFileVariable[] = "PREFORK_FAULT_FILE";

// Where faults strike in a zygote and its workers: faults separated by commas, each
//
//   ACTION@STEP[:CONDITION]...      kill@claimed:task=17,hang@forked:every=10
//
// The first process that reaches a step of a fault in the file takes the file away and strikes. So
// a test puts the file there when it wants the strike, and sees by it that it was struck.
//
// ACTION  kill stop exit hang message      (SIGKILL itself, SIGSTOP itself, _exit(3), ignore SIGTERM
//                                           and sleep for ever, a message of rubbish on its socket)
//         no_memory                        (of the zygote: from now on the kernel refuses to fork it,
//                                           with ENOMEM)
//         the names in lane_damage.cc      (nonsense into the lane, after which the worker goes on;
//                                           into a result only at result_written)
// STEP    of a worker: forked before_ready before_claim claimed result_written result_published
//         result_announced released; of the zygote: zygote_before_ready zygote_ready
//         zygote_before_fork zygote_forked
// CONDITION, all must hold
//         task=N    the task's ID (not before claimed)
//         every=N   each Nth time that this worker comes here; for forked and before_ready, each Nth
//                   worker of the zygote
//         start=N   only in the Nth worker that the zygote has forked, counted from 1
//         one_in=N  by chance
class FaultPlan : public worker::StepObserver {
 public:
  // As the two variables say.
  static absl::StatusOr<FaultPlan> FromEnvironment();
  // INVALID_ARGUMENT names the part that is wrong and what would be right.
  static absl::StatusOr<FaultPlan> Parse(std::string_view text);

  void OnWorkerStep(worker::WorkerStep step, const worker::WorkerPlace& place) override;
  void OnZygoteStep(worker::ZygoteStep step, zygote::ControlSocket& daemon) override;

 private:
  struct Fault {
    std::string action;
    std::string step;
    uint64_t task = 0;  // 0: any; likewise below
    uint64_t every = 0;
    uint64_t start = 0;
    uint64_t one_in = 0;
    uint64_t visits = 0;
  };
  static absl::StatusOr<Fault> ParseFault(std::string_view text);
  bool Strikes(Fault& fault, std::string_view step, uint64_t task_id) const;
  void Reach(std::string_view step, const worker::WorkerPlace& place);
  // Strikes with what is in the file.
  void ReachOnce(std::string_view step, const worker::WorkerPlace& place);

  std::vector<Fault> faults_;
  std::string file_;     // empty: none
  uint64_t starts_ = 0;  // of workers; each worker inherits its own number
};

}  // namespace prefork::worker_testing

#endif  // PREFORK_TESTS_SERVER_WORKER_FAULT_PLAN_H_
