// prefork run: a command in the pool as if it ran here: its output, its exit code, Ctrl-C.
#include <atomic>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "client/cli/commands/commands.h"
#include "client/cli/format.h"
#include "client/cli/json.h"
#include "client/cli/options.h"
#include "client/cli/signals.h"
#include "client/cli/task_output.h"

namespace prefork::cli {
namespace {

struct RunOptions {
  TaskOptions task;
  bool pass_stdin = false;
  CLI::App* verb = nullptr;
};

void PrintEvent(const client::TaskEvent& event) {
  const auto* const output = std::get_if<client::OutputWritten>(&event);
  if (output != nullptr) WriteOut(output->is_stderr, output->data);
}

absl::StatusOr<int> Run(Context& context, const RunOptions& options) {
  // The first Ctrl-C cancels the task with its grace, the second without. The watch comes before
  // any thread; the task, later.
  struct Shared {
    absl::Mutex mu;
    client::TaskHandle task;
    int interrupts = 0;
  } shared;
  const InterruptWatch watch([&shared](int /*signal*/) {
    absl::MutexLock lock(&shared.mu);
    ++shared.interrupts;
    if (shared.task.valid()) shared.task.Cancel(/*force=*/shared.interrupts > 1);
  });

  auto spec = MakeSpec(context, options.task);
  if (!spec.ok()) return spec.status();
  auto command = MakeCommand(options.task, CommandWords(*options.verb, context));
  if (!command.ok()) return command.status();
  if (command->argv.empty()) {
    return absl::InvalidArgumentError("run what? give a command: prefork run -- sleep 10");
  }
  if (options.pass_stdin) {
    auto input = ReadAll("-");
    if (!input.ok()) return input.status();
    spec->payload = *std::move(input);
  }
  spec->command = *std::move(command);

  const auto client = context.ConnectSession({.output = true, .exit_reports = true}, 1);
  if (!client.ok()) return client.status();
  absl::Notification printed;  // `done` comes after the last output
  const bool json = context.options().json;
  const auto task = (*client)->Submit(
      *spec,
      {.on_done = [&printed](const client::TaskHandle&,
                             const absl::StatusOr<client::TaskResult>&) { printed.Notify(); },
       .on_event =
           [json](const client::TaskHandle&, const client::TaskEvent& event) {
             if (!json) PrintEvent(event);
           }});
  if (!task.ok()) return task.status();
  {
    absl::MutexLock lock(&shared.mu);
    shared.task = *task;
    if (shared.interrupts > 0) task->Cancel();
  }
  printed.WaitForNotification();
  {
    absl::MutexLock lock(&shared.mu);
    shared.task = client::TaskHandle();
  }
  const auto result = task->Get();
  if (!result.ok()) return context.ExplainPool(result.status(), options.task.pool);
  const auto known = (*client)->api().GetTask(task->id());
  if (!known.ok()) return known.status();
  if (json) {
    std::cout << ToJson(*known) << '\n';
  } else if (!known->result().exit_report().has_exit_code()) {
    ExplainEnd(context, task->id(), known->result());
  }
  return TaskExitCode(known->result());
}

}  // namespace

void AddRun(CLI::App& app, Context& context) {
  std::shared_ptr<RunOptions> options;
  CLI::App* const verb =
      AddVerb(app, context, "run", "Run a command, stream its output, end with its exit code", Run,
              &options);
  options->verb = verb;
  AddTaskOptions(verb, &options->task);
  AddCommandOptions(verb, &options->task);
  verb->add_flag("-i,--stdin", options->pass_stdin, "Give our standard input to the command");
  TakeCommand(verb, &context);
  verb->footer("Example: prefork run -- make -C src test\nCtrl-C cancels the task.");
}

}  // namespace prefork::cli
