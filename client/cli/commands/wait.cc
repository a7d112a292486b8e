// prefork wait, prefork result: the end of tasks that were submitted earlier.
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/commands/commands.h"
#include "client/cli/format.h"
#include "client/cli/json.h"
#include "client/cli/options.h"
#include "client/cli/task_output.h"

namespace prefork::cli {
namespace {

struct WaitOptions {
  std::vector<std::string> tasks;
};
struct ResultOptions {
  std::string task;
};

absl::StatusOr<int> Wait(Context& context, const WaitOptions& options) {
  std::vector<uint64_t> ids;
  for (const std::string& text : options.tasks) {
    const auto id = context.ResolveTask(text);
    if (!id.ok()) return id.status();
    ids.push_back(*id);
  }
  int first_failure = kExitOk;
  for (const uint64_t id : ids) {
    const auto code = WaitToEnd(context, id, /*print_value=*/false);
    if (!code.ok()) return code.status();
    if (first_failure == kExitOk) first_failure = *code;
  }
  return first_failure;
}

absl::StatusOr<int> Result(Context& context, const ResultOptions& options) {
  const auto id = context.ResolveTask(options.task);
  if (!id.ok()) return id.status();
  const auto api = context.Connect();
  if (!api.ok()) return api.status();
  const auto task = (*api)->GetTask(*id);
  if (!task.ok()) return context.ExplainTask(task.status(), options.task);
  if (!IsTerminal(task->state())) {
    return absl::FailedPreconditionError(
        absl::StrCat("task ", options.task, " is ", StateName(task->state()),
                     " and has no result yet; prefork wait ", options.task, " waits for it"));
  }
  if (context.options().json) {
    std::cout << ToJson(task->result()) << '\n';
    return TaskExitCode(task->result());
  }
  if (task->result().state() == v1::TASK_STATE_SUCCEEDED) {
    const absl::Status printed = PrintValue(context, *id, task->result());
    if (!printed.ok()) return printed;
  }
  ExplainEnd(context, *id, task->result());
  return TaskExitCode(task->result());
}

}  // namespace

void AddWait(CLI::App& app, Context& context) {
  std::shared_ptr<WaitOptions> wait_options;
  CLI::App* const wait =
      AddVerb(app, context, "wait", "Wait for tasks; end with the code of the first that failed",
              Wait, &wait_options);
  wait->add_option("ID", wait_options->tasks, "Tasks")->required();
  wait->footer("--timeout ends the waiting with exit code 5; Ctrl-C ends it too. The tasks go on.");

  std::shared_ptr<ResultOptions> result_options;
  CLI::App* const result = AddVerb(app, context, "result", "Print the value of a finished task",
                                   Result, &result_options);
  result->add_option("ID", result_options->task, "Task")->required();
}

}  // namespace prefork::cli
