#include "server/engine/task_check.h"

#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/shm/lane_layout.h"
#include "common/text/nearest.h"
#include "common/text/views.h"
#include "server/engine/errors.h"
#include "server/engine/limits.h"
#include "server/pool/runtime_command.h"

namespace prefork::engine {
namespace {

using shm::kMaxContentTypeBytes;
using shm::kMaxFunctionBytes;

absl::Status Invalid(const std::string& message) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason::kInvalidTask, message);
}

bool HasNul(std::string_view text) { return absl::StrContains(text::ToAbsl(text), '\0'); }

absl::Status CheckCommand(const CommandSpec& command) {
  if (command.argv.empty() || command.argv[0].empty()) {
    return Invalid("command.argv is empty: name a program to run");
  }
  for (const std::string& argument : command.argv) {
    if (HasNul(argument)) return Invalid("command.argv contains a NUL byte");
  }
  for (const auto& [name, value] : command.env) {
    if (name.empty() || absl::StrContains(name, '=') || HasNul(name) || HasNul(value)) {
      return Invalid(absl::StrCat("command.env: \"", name,
                                  "\" is no variable: a name has no '=', and neither has a NUL"));
    }
  }
  if (HasNul(command.cwd)) return Invalid("command.cwd contains a NUL byte");
  return absl::OkStatus();
}

absl::Status CheckTimes(const TaskOptions& options) {
  if (options.timeout && *options.timeout <= absl::ZeroDuration()) {
    return Invalid("timeout must be positive; leave it out for none");
  }
  if (options.grace && *options.grace < absl::ZeroDuration()) {
    return Invalid("grace must not be negative");
  }
  if (options.delay < absl::ZeroDuration()) return Invalid("delay must not be negative");
  if (options.queue_timeout < absl::ZeroDuration()) {
    return Invalid("queue_timeout must not be negative");
  }
  if (options.result_ttl && *options.result_ttl < absl::ZeroDuration()) {
    return Invalid("result_ttl must not be negative");
  }
  if (options.delay > absl::ZeroDuration() && options.not_before != absl::InfinitePast()) {
    return Invalid("delay and not_before exclude each other: set one of them");
  }
  return absl::OkStatus();
}

// "; pools that do: a, b" or how to make one.
std::string OtherPools(const PoolTable& pools, bool commands) {
  std::string names;
  for (const auto& [name, entry] : pools) {
    const bool runs_commands = entry->spec().runtime == pool::Runtime::kCommand;
    if (runs_commands == commands) absl::StrAppend(&names, names.empty() ? "" : ", ", name);
  }
  if (names.empty()) {
    return commands ? "; create a pool with the runtime command"
                    : "; create a pool with the runtime native or python";
  }
  return absl::StrCat("; pools that do: ", names);
}

absl::Status WrongRuntime(const PoolEntry& pool, std::string_view task, const PoolTable& pools,
                          bool wants_commands) {
  return MakeError(
      absl::StatusCode::kInvalidArgument, reason::kWrongRuntime,
      absl::StrCat("pool \"", pool.name, "\" has the runtime ",
                   std::string(pool::RuntimeName(pool.spec().runtime)), " and does not run ",
                   std::string(task), OtherPools(pools, wants_commands)),
      pool.name);
}

absl::Status CheckFunction(const TaskOptions& options, const PoolEntry& pool) {
  // Python functions are found by importing, and a zygote that is not ready has not told its own.
  if (pool.spec().runtime != pool::Runtime::kNative || pool.functions.empty() ||
      pool.functions.contains(options.function)) {
    return absl::OkStatus();
  }
  const std::string nearest = text::Nearest(
      options.function, std::vector<std::string>(pool.functions.begin(), pool.functions.end()));
  return MakeError(
      absl::StatusCode::kNotFound, reason::kFunctionNotFound,
      absl::StrCat("pool \"", pool.name, "\" has no function \"", options.function, "\"",
                   nearest.empty() ? "; list them with: prefork functions"
                                   : absl::StrCat("; did you mean \"", nearest, "\"?")),
      options.function);
}

}  // namespace

absl::Status CheckTaskOptions(const TaskOptions& options) {
  if (options.function.size() > kMaxFunctionBytes) {
    return Invalid(absl::StrCat("function is ", options.function.size(), " bytes long; at most ",
                                kMaxFunctionBytes, " are allowed"));
  }
  if (options.content_type.size() > kMaxContentTypeBytes) {
    return Invalid(absl::StrCat("content_type is ", options.content_type.size(),
                                " bytes long; at most ", kMaxContentTypeBytes, " are allowed"));
  }
  if (options.priority < -kMaxPriority || options.priority > kMaxPriority) {
    return Invalid(absl::StrCat("priority is ", options.priority, "; it goes from -", kMaxPriority,
                                " to ", kMaxPriority));
  }
  if (options.labels.size() > kMaxLabels) {
    return Invalid(absl::StrCat("labels: ", options.labels.size(), " pairs; at most ", kMaxLabels,
                                " are allowed"));
  }
  if (options.after.size() > kMaxPredecessors) {
    return Invalid(absl::StrCat("after: ", options.after.size(), " tasks; at most ",
                                kMaxPredecessors, " are allowed"));
  }
  if (options.retry.max_attempts == 0 || options.retry.max_attempts > kMaxAttempts) {
    return Invalid(absl::StrCat("retry.max_attempts is ", options.retry.max_attempts,
                                "; it goes from 1 to ", kMaxAttempts));
  }
  if (options.command) {
    if (!options.function.empty()) return Invalid("function and command exclude each other");
    if (absl::Status status = CheckCommand(*options.command); !status.ok()) return status;
  } else if (options.function.empty()) {
    return Invalid("neither function nor command is set: say what to run");
  }
  return CheckTimes(options);
}

absl::Status CheckTaskForPool(const TaskOptions& options, const PoolEntry& pool,
                              const PoolTable& pools) {
  const bool runs_commands = pool.spec().runtime == pool::Runtime::kCommand;
  if (options.command && !runs_commands) return WrongRuntime(pool, "commands", pools, true);
  if (!options.command && runs_commands) return WrongRuntime(pool, "functions", pools, false);
  return CheckFunction(options, pool);
}

absl::Status NoSuchPool(const std::string& name, const PoolTable& pools) {
  return MakeError(absl::StatusCode::kNotFound, reason::kPoolNotFound,
                   absl::StrCat("no pool named \"", name, "\"; pools are: ", pools.Names()), name);
}

}  // namespace prefork::engine
