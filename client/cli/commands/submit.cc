// prefork submit: queue a command or a function call, and go.
#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/commands/commands.h"
#include "client/cli/json.h"
#include "client/cli/options.h"
#include "client/cli/task_output.h"

namespace prefork::cli {
namespace {

struct SubmitVerbOptions {
  TaskOptions task;
  std::string function;
  std::string payload_file;
  bool wait = false;
  bool follow = false;
  CLI::App* verb = nullptr;
};

absl::StatusOr<client::TaskSpec> MakeWork(Context& context, const SubmitVerbOptions& options) {
  auto spec = MakeSpec(context, options.task);
  if (!spec.ok()) return spec.status();
  const std::vector<std::string> argv = CommandWords(*options.verb, context);
  if (options.function.empty() == argv.empty()) {
    return absl::InvalidArgumentError(
        "submit what? give a command (prefork submit -- sleep 10) or --function NAME");
  }
  if (argv.empty()) {
    spec->function = options.function;
  } else {
    auto command = MakeCommand(options.task, argv);
    if (!command.ok()) return command.status();
    spec->command = *std::move(command);
  }
  if (!options.payload_file.empty()) {
    auto payload = ReadAll(options.payload_file);
    if (!payload.ok()) return payload.status();
    spec->payload = *std::move(payload);
  }
  spec->detached = true;
  return spec;
}

absl::StatusOr<int> Submit(Context& context, const SubmitVerbOptions& options) {
  const auto spec = MakeWork(context, options);
  if (!spec.ok()) return spec.status();
  const auto client = context.ConnectSession({}, 1);
  if (!client.ok()) return client.status();
  const auto task = (*client)->Submit(*spec);
  if (!task.ok()) return task.status();
  const auto id = task->WaitAccepted(context.options().timeout.value_or(absl::InfiniteDuration()));
  if (!id.ok()) return context.ExplainPool(id.status(), options.task.pool);

  const bool stay = options.wait || options.follow;
  if (context.options().json) {
    v1::SubmitResponse response;
    response.set_task_id(*id);
    if (!stay) std::cout << ToJson(response) << '\n';
  } else if (context.options().quiet) {
    if (!stay) std::cout << *id << '\n';
  } else if (stay) {
    context.Talk(absl::StrCat("task ", context.ShortNumber(*id)));
  } else {
    std::cout << "task " << context.ShortNumber(*id) << '\n';
  }
  if (options.follow) return FollowToEnd(context, *id, !options.function.empty());
  if (options.wait) return WaitToEnd(context, *id, !options.function.empty());
  return kExitOk;
}

}  // namespace

void AddSubmit(CLI::App& app, Context& context) {
  std::shared_ptr<SubmitVerbOptions> options;
  CLI::App* const verb =
      AddVerb(app, context, "submit",
              "Queue a command or a function call, and print its task number", Submit, &options);
  verb->alias("add");
  options->verb = verb;
  AddTaskOptions(verb, &options->task);
  AddCommandOptions(verb, &options->task);
  verb->add_option("--request-id", options->task.request_id,
                   "A second submit with this ID is the same task")
      ->type_name("ID");
  verb->add_option("-f,--function", options->function, "Call this function instead of a command")
      ->type_name("NAME");
  verb->add_option("--payload", options->payload_file,
                   "File with the function's argument or the command's stdin; - is stdin")
      ->type_name("FILE");
  verb->add_flag("-w,--wait", options->wait, "Wait for its end, and end with its exit code");
  verb->add_flag("-F,--follow", options->follow, "Show its output as it comes, and then as --wait");
  TakeCommand(verb, &context);
  verb->footer(
      "With -q only the full task ID is printed, for scripts:\n"
      "  id=$(prefork submit -q -- make all); prefork wait $id\n"
      "The task goes on when this program is interrupted.");
}

}  // namespace prefork::cli
