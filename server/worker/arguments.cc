#include "server/worker/arguments.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace prefork::worker {
namespace {

constexpr char kUsage[] =
    "usage: prefork-worker --runtime command|native [--module PATH]... [--pool NAME]";

absl::Status Wrong(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(what, "; ", kUsage));
}

}  // namespace

absl::StatusOr<Arguments> ParseArguments(int argc, char** argv) {
  Arguments arguments;
  bool has_runtime = false;
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (name != "--runtime" && name != "--module" && name != "--pool") {
      return Wrong(absl::StrCat("unknown argument '", name, "'"));
    }
    if (i + 1 >= argc) return Wrong(absl::StrCat(name, " needs a value"));
    std::string value = argv[i + 1];
    if (name == "--module") {
      arguments.modules.push_back(std::move(value));
    } else if (name == "--pool") {
      arguments.pool = std::move(value);
    } else if (value == "command" || value == "native") {
      has_runtime = true;
      arguments.runtime =
          value == "native" ? Arguments::RuntimeKind::kNative : Arguments::RuntimeKind::kCommand;
    } else {
      return Wrong(absl::StrCat("'", value, "' is no runtime"));
    }
  }
  if (!has_runtime) return Wrong("--runtime is missing");
  if (arguments.runtime == Arguments::RuntimeKind::kCommand && !arguments.modules.empty()) {
    return Wrong("--module is for the runtime native");
  }
  return arguments;
}

}  // namespace prefork::worker
