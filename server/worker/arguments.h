#ifndef PREFORK_SERVER_WORKER_ARGUMENTS_H_
#define PREFORK_SERVER_WORKER_ARGUMENTS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace prefork::worker {

// prefork-worker --runtime command|native [--module PATH]... [--pool NAME]
struct Arguments {
  enum class RuntimeKind { kCommand, kNative } runtime = RuntimeKind::kCommand;
  std::vector<std::string> modules;
  std::string pool;  // for the titles of the processes
};

// INVALID_ARGUMENT names the argument and what is accepted.
absl::StatusOr<Arguments> ParseArguments(int argc, char** argv);

}  // namespace prefork::worker

#endif  // PREFORK_SERVER_WORKER_ARGUMENTS_H_
