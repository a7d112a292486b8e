#ifndef PREFORK_CLIENT_CLI_OPTIONS_H_
#define PREFORK_CLIENT_CLI_OPTIONS_H_

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cli/context.h"
#include "prefork/task.h"

// Pieces that the verbs' command lines are made of.
namespace prefork::cli {

// "30s", "5m", "1h30m".
CLI::Option* AddDuration(CLI::App* verb, const std::string& name,
                         std::optional<absl::Duration>* target, const std::string& help);
// "512M", "2GiB".
CLI::Option* AddBytes(CLI::App* verb, const std::string& name, std::optional<uint64_t>* target,
                      const std::string& help);

// Options that every verb takes: of the program, and hidden of each verb that ends in a command.
void AddGlobalOptions(CLI::App* app, GlobalOptions* options);

// Lets the verb end in a command line of its own: everything from the first word on that is no
// option, or after `--`. Its words are those of CommandWords.
void TakeCommand(CLI::App* verb, Context* context);
std::vector<std::string> CommandWords(const CLI::App& verb, const Context& context);

// Options of a task, for the verbs that submit some.
struct TaskOptions {
  std::string pool;
  int priority = 0;
  std::optional<absl::Duration> delay;
  std::optional<absl::Duration> task_timeout;
  std::optional<absl::Duration> grace;
  std::optional<absl::Duration> queue_timeout;
  std::optional<absl::Duration> backoff;
  std::optional<absl::Duration> ttl;
  uint32_t retries = 0;
  std::vector<std::string> retry_on;
  std::vector<std::string> labels;
  std::vector<std::string> env;
  std::string cwd;
  std::vector<std::string> limits;
  std::vector<std::string> after;
  std::string request_id;
  bool dedicated = false;
};
void AddTaskOptions(CLI::App* verb, TaskOptions* options);
// Of commands only: environment, directory, limits.
void AddCommandOptions(CLI::App* verb, TaskOptions* options);

// The options as a spec, without work. INVALID_ARGUMENT names the option.
absl::StatusOr<client::TaskSpec> MakeSpec(Context& context, const TaskOptions& options);
// A command with the options' environment, limits and directory (ours when none is given).
absl::StatusOr<client::Command> MakeCommand(const TaskOptions& options,
                                            std::vector<std::string> argv);

// "NAME=VALUE" of the option `option`.
absl::StatusOr<std::pair<std::string, std::string>> SplitPair(const std::string& option,
                                                              const std::string& text);

// Everything of a file, or of stdin for "-".
absl::StatusOr<std::string> ReadAll(const std::string& path);

// Of a verb that has none.
struct NoOptions {};

// Makes a verb whose action gets its own options.
template <typename Options>
CLI::App* AddVerb(CLI::App& app, Context& context, const std::string& name, const std::string& help,
                  absl::StatusOr<int> (*action)(Context&, const Options&),
                  std::shared_ptr<Options>* options) {
  CLI::App* const verb = app.add_subcommand(name, help);
  *options = std::make_shared<Options>();
  verb->callback([&context, action, kept = *options] {
    context.action = [&context, action, kept] { return action(context, *kept); };
  });
  return verb;
}

}  // namespace prefork::cli

#endif  // PREFORK_CLIENT_CLI_OPTIONS_H_
