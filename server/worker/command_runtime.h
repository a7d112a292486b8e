#ifndef PREFORK_SERVER_WORKER_COMMAND_RUNTIME_H_
#define PREFORK_SERVER_WORKER_COMMAND_RUNTIME_H_

#include <vector>

#include "server/worker/runtime.h"

namespace prefork::worker {

// Executes programs. A task's payload is a command block (common/zygote/command_codec.h); its
// output goes straight from the program to the daemon, and it ends with the program's wait status.
// A program that can't be executed is the task's error, with the exit code 126 or 127 as wait
// status. When the task is cancelled the daemon signals the program's process tree, and the runtime
// reports what became of it.
class CommandRuntime : public Runtime {
 public:
  const std::vector<FunctionInfo>& functions() const override { return functions_; }
  void Run(const TaskView& task, TaskContext& context, TaskEnd& end) override;
  bool runs_programs() const override { return true; }

 private:
  std::vector<FunctionInfo> functions_;  // none: a program is no function
};

}  // namespace prefork::worker

#endif  // PREFORK_SERVER_WORKER_COMMAND_RUNTIME_H_
