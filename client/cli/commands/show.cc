// prefork show: everything about one task, for people.
#include <iostream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "client/cli/commands/commands.h"
#include "client/cli/format.h"
#include "client/cli/json.h"
#include "client/cli/options.h"

namespace prefork::cli {
namespace {

struct ShowOptions {
  std::vector<std::string> tasks;
};

void Field(const std::string& name, const std::string& value) {
  if (!value.empty()) std::cout << absl::StrFormat("%-13s %s\n", name, value);
}

void PrintWork(const v1::Task& task) {
  const v1::TaskSpec& spec = task.spec();
  if (spec.has_command()) {
    Field("command", absl::StrJoin(spec.command().argv(), " "));
    Field("directory", spec.command().cwd());
  } else {
    Field("function", spec.function());
  }
  if (task.payload_bytes() > 0) {
    Field("payload", absl::StrCat(ShortBytes(task.payload_bytes()), " ", spec.content_type()));
  }
  if (spec.priority() != 0) Field("priority", absl::StrCat(spec.priority()));
  if (spec.has_timeout()) Field("timeout", ShortDuration(ToDuration(spec.timeout())));
  if (spec.retry().max_attempts() > 1) {
    Field("attempts", absl::StrCat("at most ", spec.retry().max_attempts()));
  }
  Field("after", absl::StrJoin(spec.after(), ", "));
  Field("request id", spec.request_id());
  for (const auto& [name, value] : spec.labels()) Field("label", absl::StrCat(name, "=", value));
}

void PrintTask(Context& context, const v1::Task& task) {
  const Style style = context.out_style();
  const absl::Time now = absl::Now();
  Field("task", absl::StrCat(context.ShortNumber(task.task_id()), " (", task.task_id(), ")"));
  Field("state", style.Paint(ColorOf(task.state()), StateName(task.state())));
  Field("waits for", task.waiting_for());
  Field("pool", task.spec().pool());
  PrintWork(task);
  Field("submitted", absl::StrCat(ShortTime(ToTime(task.submitted_at()), now), " by uid ",
                                  task.submitter_uid()));
  if (task.has_started_at()) Field("started", ShortTime(ToTime(task.started_at()), now));
  if (task.has_finished_at()) Field("finished", ShortTime(ToTime(task.finished_at()), now));
  if (task.has_worker_index() && !IsTerminal(task.state())) {
    Field("worker", absl::StrCat(task.worker_index(), " generation ", task.worker_generation(),
                                 ", pid ", task.worker_pid()));
  }
  if (task.has_progress()) {
    Field("progress", absl::StrCat(task.progress().done(), "/", task.progress().total(), " ",
                                   task.progress().text()));
  }
  if (task.stdout_bytes() > 0) Field("stdout", ShortBytes(task.stdout_bytes()));
  if (task.stderr_bytes() > 0) Field("stderr", ShortBytes(task.stderr_bytes()));
  if (task.result().value_bytes() > 0) {
    Field("value",
          absl::StrCat(ShortBytes(task.result().value_bytes()), " ", task.result().content_type()));
  }
  Field("error", task.result().error());
  if (!task.result().has_exit_report()) return;
  std::cout << "exit report\n";
  for (const std::string& line : ReportLines(task.result().exit_report())) {
    std::cout << "  " << line << '\n';
  }
}

absl::StatusOr<int> Show(Context& context, const ShowOptions& options) {
  bool first = true;
  for (const std::string& text : options.tasks) {
    const auto id = context.ResolveTask(text);
    if (!id.ok()) return id.status();
    const auto api = context.Connect();
    if (!api.ok()) return api.status();
    const auto task = (*api)->GetTask(*id);
    if (!task.ok()) return context.ExplainTask(task.status(), text);
    if (context.options().json) {
      std::cout << ToJson(*task) << '\n';
      continue;
    }
    if (!first) std::cout << '\n';
    first = false;
    PrintTask(context, *task);
  }
  return kExitOk;
}

}  // namespace

void AddShow(CLI::App& app, Context& context) {
  std::shared_ptr<ShowOptions> options;
  CLI::App* const verb = AddVerb(
      app, context, "show", "Show everything about a task, with its exit report", Show, &options);
  verb->add_option("ID", options->tasks, "Tasks")->required();
}

}  // namespace prefork::cli
