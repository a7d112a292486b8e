// prefork list: tasks in a table.
#include <algorithm>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/commands/commands.h"
#include "client/cli/format.h"
#include "client/cli/json.h"
#include "client/cli/options.h"
#include "client/cli/table.h"

namespace prefork::cli {
namespace {

constexpr int kPageSize = 1000;
constexpr size_t kSummaryWidth = 48;

struct ListOptions {
  std::vector<std::string> states;
  std::vector<std::string> labels;
  std::string pool;
  bool all = false;
  size_t limit = 50;
};

absl::StatusOr<v1::TaskFilter> MakeFilter(const ListOptions& options) {
  v1::TaskFilter filter;
  filter.set_pool(options.pool);
  for (const std::string& name : options.states) {
    const auto state = ParseTaskState(name);
    if (!state.ok())
      return absl::InvalidArgumentError(absl::StrCat("--state: ", state.status().message()));
    filter.add_states(*state);
  }
  for (const std::string& label : options.labels) {
    const auto pair = SplitPair("--label", label);
    if (!pair.ok()) return pair.status();
    (*filter.mutable_labels())[pair->first] = pair->second;
  }
  return filter;
}

std::string RunTime(const v1::Task& task, absl::Time now) {
  if (!task.has_started_at()) return "";
  const absl::Time end = task.has_finished_at() ? ToTime(task.finished_at()) : now;
  return ShortDuration(std::max(end - ToTime(task.started_at()), absl::ZeroDuration()));
}

std::string Note(const v1::Task& task) {
  if (!task.waiting_for().empty()) return task.waiting_for();
  if (!task.progress().text().empty()) return task.progress().text();
  if (task.progress().total() > 0) {
    return absl::StrCat(static_cast<int>(100 * task.progress().done() / task.progress().total()),
                        "%");
  }
  if (task.state() > v1::TASK_STATE_SUCCEEDED)
    return CauseName(task.result().exit_report().cause());
  return "";
}

absl::StatusOr<int> List(Context& context, const ListOptions& options) {
  const auto filter = MakeFilter(options);
  if (!filter.ok()) return filter.status();
  const auto api = context.Connect();
  if (!api.ok()) return api.status();
  v1::ListTasksRequest request;
  *request.mutable_filter() = *filter;
  request.set_newest_first(true);
  v1::ListTasksResponse found;
  bool more = true;
  while (more) {
    const size_t left = options.all ? kPageSize : options.limit - found.tasks_size();
    request.set_page_size(static_cast<int>(std::min<size_t>(left, kPageSize)));
    const auto page = (*api)->ListTasks(request);
    if (!page.ok()) return context.ExplainPool(page.status(), options.pool);
    found.MergeFrom(*page);
    request.set_page_token(page->next_page_token());
    found.set_next_page_token(page->next_page_token());
    more = !page->next_page_token().empty() &&
           (options.all || static_cast<size_t>(found.tasks_size()) < options.limit);
  }
  if (context.options().json) {
    std::cout << ToJson(found) << '\n';
    return kExitOk;
  }
  if (context.options().quiet) {
    for (const v1::Task& task : found.tasks()) std::cout << task.task_id() << '\n';
    return kExitOk;
  }
  const absl::Time now = absl::Now();
  Table table({{"ID", true},
               {"STATE"},
               {"POOL"},
               {"SUBMITTED"},
               {"RAN", true},
               {"TRY", true},
               {"TASK"},
               {"NOTE"}});
  for (const v1::Task& task : found.tasks()) {
    table.AddRow({absl::StrCat(context.ShortNumber(task.task_id())),
                  {StateName(task.state()), ColorOf(task.state())},
                  task.spec().pool(),
                  ShortTime(ToTime(task.submitted_at()), now),
                  RunTime(task, now),
                  absl::StrCat(task.attempt()),
                  Summary(task.spec(), kSummaryWidth),
                  Note(task)});
  }
  std::cout << table.ToText(context.out_style());
  if (table.empty()) context.Talk("no such tasks");
  if (!found.next_page_token().empty()) {
    context.Talk(absl::StrCat("the newest ", found.tasks_size(), "; --all shows every one"));
  }
  return kExitOk;
}

}  // namespace

void AddList(CLI::App& app, Context& context) {
  std::shared_ptr<ListOptions> options;
  CLI::App* const verb = AddVerb(app, context, "list", "List tasks, newest first", List, &options);
  verb->alias("ls");
  verb->add_option("-s,--state", options->states,
                   "Only in these states: queued, dispatched, running, succeeded, failed, crashed, "
                   "timed_out, cancelled")
      ->delimiter(',')
      ->type_name("STATE");
  verb->add_option("-l,--label", options->labels, "Only with this label")->type_name("NAME=VALUE");
  verb->add_option("-p,--pool", options->pool, "Only of this pool")->type_name("POOL");
  verb->add_option("-n,--limit", options->limit, "At most so many (default 50)")
      ->check(CLI::PositiveNumber)
      ->type_name("N");
  verb->add_flag("-a,--all", options->all, "All of them");
}

}  // namespace prefork::cli
