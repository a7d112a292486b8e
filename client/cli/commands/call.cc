// prefork call: one function call, its value on stdout.
#include <unistd.h>

#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "client/cli/commands/commands.h"
#include "client/cli/format.h"
#include "client/cli/json.h"
#include "client/cli/options.h"
#include "client/cli/task_output.h"

namespace prefork::cli {
namespace {

struct CallOptions {
  TaskOptions task;
  std::string function;
  std::string json_argument;
  std::string data;
  std::string file;
  std::string content_type;
};

absl::StatusOr<client::TaskSpec> MakeWork(Context& context, const CallOptions& options) {
  auto spec = MakeSpec(context, options.task);
  if (!spec.ok()) return spec.status();
  spec->function = options.function;
  spec->content_type = options.content_type;
  if (!options.json_argument.empty()) {
    if (!options.data.empty() || !options.file.empty()) {
      return absl::InvalidArgumentError(
          "--json JSON is the argument already; leave out --data and --file");
    }
    spec->payload = options.json_argument;
    if (spec->content_type.empty()) spec->content_type = "application/json";
  } else if (!options.data.empty()) {
    spec->payload = options.data;
  } else if (!options.file.empty() || isatty(STDIN_FILENO) == 0) {
    auto payload = ReadAll(options.file.empty() ? "-" : options.file);
    if (!payload.ok()) return payload.status();
    spec->payload = *std::move(payload);
  }
  return spec;
}

absl::StatusOr<int> Call(Context& context, const CallOptions& options) {
  const auto spec = MakeWork(context, options);
  if (!spec.ok()) return spec.status();
  const auto client = context.ConnectSession({.exit_reports = true}, 1);
  if (!client.ok()) return client.status();
  const auto task = (*client)->Submit(*spec);
  if (!task.ok()) return task.status();
  const auto result = task->Get(context.options().timeout.value_or(absl::InfiniteDuration()));
  if (!result.ok()) return context.ExplainPool(result.status(), options.task.pool);
  if (!context.options().json && result->ok()) {
    WriteOut(false, result->value);
    if (isatty(STDOUT_FILENO) == 1) std::cout << '\n';
    return kExitOk;
  }
  const auto known = (*client)->api().GetTask(task->id());
  if (!known.ok()) return known.status();
  if (context.options().json) {
    std::cout << ToJson(*known) << '\n';
  } else {
    ExplainEnd(context, task->id(), known->result());
  }
  return TaskExitCode(known->result());
}

}  // namespace

void AddCall(CLI::App& app, Context& context) {
  std::shared_ptr<CallOptions> options;
  CLI::App* const verb =
      AddVerb(app, context, "call", "Call a function and print its value", Call, &options);
  verb->add_option("FUNCTION", options->function, "Name of the function")->required();
  AddTaskOptions(verb, &options->task);
  // Hides the program's own --json, which may stand before the verb or have no value here.
  verb->add_option_function<std::string>(
          "--json",
          [&context, options](const std::string& text) {
            options->json_argument = text;
            if (text.empty()) context.options().json = true;
          },
          "The argument as JSON. Without a value: the task as JSON on stdout, as everywhere")
      ->type_name("JSON")
      ->expected(0, 1);
  auto* const data =
      verb->add_option("-d,--data", options->data, "The argument as it is")->type_name("TEXT");
  auto* const file = verb->add_option("--file", options->file,
                                      "File with the argument; - is stdin, as is the default when "
                                      "stdin is no terminal")
                         ->type_name("FILE");
  data->excludes(file);
  verb->add_option("--content-type", options->content_type, "Of the argument")->type_name("TYPE");
  verb->footer(
      "Examples: prefork call -p native square --data 12\n"
      "          prefork call -p python os.path:join --json '[\"a\", \"b\"]'");
}

}  // namespace prefork::cli
