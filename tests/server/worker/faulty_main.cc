// prefork-worker with faults at chosen points, for tests of everything that has to survive them;
// see fault_plan.h. Never installed.
#include <cstdio>
#include <string>

#include "server/worker/zygote_main.h"
#include "tests/server/worker/fault_plan.h"

int main(int argc, char** argv) {
  absl::StatusOr<prefork::worker_testing::FaultPlan> plan =
      prefork::worker_testing::FaultPlan::FromEnvironment();
  if (!plan.ok()) {
    std::fprintf(stderr, "%s\n", std::string(plan.status().message()).c_str());
    return 2;
  }
  return prefork::worker::ZygoteMain(argc, argv, &*plan);
}
