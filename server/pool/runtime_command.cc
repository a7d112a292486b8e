#include "server/pool/runtime_command.h"

#include <map>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace prefork::pool {
namespace {

constexpr const char* kThreadCountVariables[] = {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
                                                 "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"};

// As python -m prefork.worker, but an interpreter without the package says so in one line.
constexpr char kPythonStart[] = R"(import sys
try:
    from prefork.worker.__main__ import main
except ModuleNotFoundError as error:
    if error.name is None or error.name.partition('.')[0] != 'prefork':
        raise
    sys.exit(f'{sys.executable} (Python {sys.version.split()[0]}) has no package prefork; '
             f'cure: {sys.executable} -m pip install prefork, or name another with the key interpreter')
sys.exit(main(sys.argv[1:]))
)";

std::vector<std::string> PythonArgv(const PoolSpec& spec) {
  std::vector<std::string> argv = {spec.interpreter, "-c", kPythonStart, "--pool", spec.name};
  for (const std::string& module : spec.preload) {
    argv.push_back("--preload");
    argv.push_back(module);
  }
  return argv;
}

}  // namespace

std::string_view RuntimeName(Runtime runtime) {
  switch (runtime) {
    case Runtime::kCommand:
      return "command";
    case Runtime::kNative:
      return "native";
    case Runtime::kPython:
      return "python";
  }
  return "unknown";
}

absl::StatusOr<std::vector<std::string>> ZygoteArgv(const PoolSpec& spec,
                                                    const std::string& worker_program) {
  if (!spec.zygote_command.empty()) return spec.zygote_command;
  if (spec.runtime == Runtime::kPython) return PythonArgv(spec);
  if (worker_program.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("pool '", spec.name,
                     "': the daemon does not know where prefork-worker is; "
                     "set its path or the pool's zygote_command"));
  }
  std::vector<std::string> argv = {worker_program, "--runtime",
                                   std::string(RuntimeName(spec.runtime)), "--pool", spec.name};
  for (const std::string& module : spec.modules) {
    argv.push_back("--module");
    argv.push_back(module);
  }
  return argv;
}

std::vector<std::string> ZygoteEnvironment(const PoolSpec& spec,
                                           const std::vector<std::string>& base) {
  std::map<std::string, std::string> merged;
  for (const std::string& entry : base) {
    const size_t equals = entry.find('=');
    if (equals != std::string::npos) merged[entry.substr(0, equals)] = entry.substr(equals + 1);
  }
  const std::string one_thread = "1";
  for (const char* name : kThreadCountVariables) merged[name] = one_thread;
  for (const auto& [name, value] : spec.env) merged[name] = value;
  std::vector<std::string> environment;
  environment.reserve(merged.size());
  for (const auto& [name, value] : merged) environment.push_back(absl::StrCat(name, "=", value));
  return environment;
}

}  // namespace prefork::pool
