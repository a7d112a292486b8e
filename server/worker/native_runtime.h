#ifndef PREFORK_SERVER_WORKER_NATIVE_RUNTIME_H_
#define PREFORK_SERVER_WORKER_NATIVE_RUNTIME_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/worker/module_loader.h"
#include "server/worker/runtime.h"
#include "server/worker/sdk/prefork/native_abi.h"

namespace prefork::worker {

// Calls C++ functions of shared libraries, by name.
class NativeRuntime : public Runtime {
 public:
  // Loads the modules in order. The error names the module at fault; also when two offer functions
  // of the same name.
  static absl::StatusOr<std::unique_ptr<NativeRuntime>> Load(
      const std::vector<std::string>& module_paths, const LoadAbortReporter& on_abort = {});

  const std::vector<FunctionInfo>& functions() const override { return functions_; }
  void Run(const TaskView& task, TaskContext& context, TaskEnd& end) override;
  bool runs_programs() const override { return false; }

 private:
  struct Entry {
    const prefork_function_v1* function;
    std::string module_path;
  };
  NativeRuntime() = default;
  // nullptr: nobody offers it.
  const prefork_function_v1* Find(std::string_view name);
  std::string DescribeMissing(std::string_view name) const;

  std::vector<FunctionInfo> functions_;
  std::map<std::string, Entry, std::less<>> by_name_;
  const prefork_function_v1* last_ = nullptr;  // most tasks in a row call the same function
};

}  // namespace prefork::worker

#endif  // PREFORK_SERVER_WORKER_NATIVE_RUNTIME_H_
