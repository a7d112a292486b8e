#ifndef PREFORK_SERVER_POOL_RUNTIME_COMMAND_H_
#define PREFORK_SERVER_POOL_RUNTIME_COMMAND_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/pool/pool_spec.h"

namespace prefork::pool {

std::string_view RuntimeName(Runtime runtime);  // "command", "native", "python"

// argv of the pool's zygote: its own zygote_command, or `worker_program` with the runtime and
// modules, or the interpreter with the package's worker. INVALID_ARGUMENT says what the spec lacks.
absl::StatusOr<std::vector<std::string>> ZygoteArgv(const PoolSpec& spec,
                                                    const std::string& worker_program);

// The environment of the pool's zygote, as NAME=value: `base`, over it the pool's own. Libraries
// that would start a thread a core in every worker (BLAS, OpenMP) are held to one, unless the
// pool's environment says otherwise.
std::vector<std::string> ZygoteEnvironment(const PoolSpec& spec,
                                           const std::vector<std::string>& base);

}  // namespace prefork::pool

#endif  // PREFORK_SERVER_POOL_RUNTIME_COMMAND_H_
