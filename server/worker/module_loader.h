#ifndef PREFORK_SERVER_WORKER_MODULE_LOADER_H_
#define PREFORK_SERVER_WORKER_MODULE_LOADER_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/worker/sdk/prefork/native_abi.h"

namespace prefork::worker {

// A native module in this process. Never unloaded: its code may be on any worker's stack.
struct LoadedModule {
  std::string path;
  std::vector<const prefork_function_v1*> functions;
};

// Told why, right before the process aborts because a module's static initialiser threw: dlopen
// lets no exception through.
using LoadAbortReporter = std::function<void(const std::string& why)>;

// Loads a shared library and reads its table of functions. Runs the library's static initialisers.
// The error names the module and what is wrong with it: it can't be loaded, it is no module, it
// started a thread (a process with threads can't be forked from), its table is malformed.
absl::StatusOr<LoadedModule> LoadModule(const std::string& path,
                                        const LoadAbortReporter& on_abort = {});

}  // namespace prefork::worker

#endif  // PREFORK_SERVER_WORKER_MODULE_LOADER_H_
