#ifndef PREFORK_TESTS_SERVER_WORKER_FAULT_PLAN_H_
#define PREFORK_TESTS_SERVER_WORKER_FAULT_PLAN_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/worker/step_observer.h"

namespace prefork::worker_testing {

// Where faults strike in a zygote and its workers, as the variable PREFORK_FAULT of the program
// prefork-worker-faulty says: faults separated by commas, each
//
//   ACTION@STEP[:CONDITION]...      kill@claimed:task=17,hang@forked:every=10
//
// ACTION  kill stop exit hang message      (SIGKILL itself, SIGSTOP itself, _exit(3), ignore SIGTERM
//                                           and sleep for ever, a message of rubbish on its socket)
//         up_tail up_length up_kind up_generation up_task up_outcome up_sizes up_segment down_head
//         down_claim                       (rubbish into that field of the lane; those of the result
//                                           only at result_written; after
//         up_tail and down_head it wakes the engine and sleeps, so that they stay spoilt)
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

  std::vector<Fault> faults_;
  uint64_t starts_ = 0;  // of workers; each worker inherits its own number
};

}  // namespace prefork::worker_testing

#endif  // PREFORK_TESTS_SERVER_WORKER_FAULT_PLAN_H_
