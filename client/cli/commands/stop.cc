// prefork cancel, kill, retry, rm: verbs that change single tasks.
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/commands/commands.h"
#include "client/cli/format.h"
#include "client/cli/json.h"
#include "client/cli/options.h"
#include "client/cli/signals.h"

namespace prefork::cli {
namespace {

struct CancelOptions {
  std::vector<std::string> tasks;
  bool force = false;
};
struct KillOptions {
  std::vector<std::string> tasks;
  std::string signal = "TERM";
};
struct RetryOptions {
  std::vector<std::string> tasks;
};
struct RemoveOptions {
  std::vector<std::string> tasks;
  std::string pool;
  std::vector<std::string> states;
  bool finished = false;
};

// Calls `change` for each task; stops at the first error.
template <typename Change>
absl::StatusOr<int> ForEach(Context& context, const std::vector<std::string>& tasks,
                            const Change& change) {
  const auto api = context.Connect();
  if (!api.ok()) return api.status();
  for (const std::string& text : tasks) {
    const auto id = context.ResolveTask(text);
    if (!id.ok()) return id.status();
    const absl::Status changed = change(**api, *id);
    if (!changed.ok()) return context.ExplainTask(changed, text);
  }
  return kExitOk;
}

absl::StatusOr<int> Cancel(Context& context, const CancelOptions& options) {
  return ForEach(context, options.tasks, [&](client::Api& api, uint64_t id) -> absl::Status {
    const auto task = api.CancelTask(id, options.force);
    if (!task.ok()) return task.status();
    if (context.options().json) {
      std::cout << ToJson(*task) << '\n';
    } else if (task->state() != v1::TASK_STATE_CANCELLED) {
      context.Talk(absl::StrCat("task ", context.ShortNumber(id),
                                " had ended before: ", StateName(task->state())));
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<int> Kill(Context& context, const KillOptions& options) {
  const auto signal = ParseSignal(options.signal);
  if (!signal.ok()) return signal.status();
  return ForEach(context, options.tasks,
                 [&](client::Api& api, uint64_t id) { return api.SignalTask(id, *signal); });
}

absl::StatusOr<int> Retry(Context& context, const RetryOptions& options) {
  return ForEach(context, options.tasks, [&](client::Api& api, uint64_t id) -> absl::Status {
    const auto again = api.RetryTask(id);
    if (!again.ok()) return again.status();
    if (context.options().json) {
      v1::SubmitResponse response;
      response.set_task_id(*again);
      std::cout << ToJson(response) << '\n';
    } else if (context.options().quiet) {
      std::cout << *again << '\n';
    } else {
      std::cout << "task " << context.ShortNumber(*again) << '\n';
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<int> Remove(Context& context, const RemoveOptions& options) {
  const bool by_filter = options.finished || !options.pool.empty() || !options.states.empty();
  if (by_filter == !options.tasks.empty()) {
    return absl::InvalidArgumentError(
        "remove what? give task IDs, or --finished, --pool or --state");
  }
  v1::DeleteTaskRequest request;
  for (const std::string& name : options.states) {
    const auto state = ParseTaskState(name);
    if (!state.ok()) return state.status();
    request.mutable_filter()->add_states(*state);
  }
  uint64_t removed = 0;
  if (by_filter) {
    request.mutable_filter()->set_pool(options.pool);
    const auto api = context.Connect();
    if (!api.ok()) return api.status();
    const auto deleted = (*api)->DeleteTasks(request);
    if (!deleted.ok()) return context.ExplainPool(deleted.status(), options.pool);
    removed = *deleted;
  } else {
    absl::StatusOr<int> done =
        ForEach(context, options.tasks, [&](client::Api& api, uint64_t id) -> absl::Status {
          request.set_task_id(id);
          const auto deleted = api.DeleteTasks(request);
          if (deleted.ok()) removed += *deleted;
          return deleted.status();
        });
    if (!done.ok()) return done;
  }
  if (context.options().json) {
    v1::DeleteTaskResponse response;
    response.set_deleted(removed);
    std::cout << ToJson(response) << '\n';
  } else {
    context.Talk(absl::StrCat("removed ", removed, removed == 1 ? " task" : " tasks"));
  }
  return kExitOk;
}

}  // namespace

void AddStop(CLI::App& app, Context& context) {
  std::shared_ptr<CancelOptions> cancel_options;
  CLI::App* const cancel =
      AddVerb(app, context, "cancel", "Cancel tasks; returns when their processes are gone", Cancel,
              &cancel_options);
  cancel->add_option("ID", cancel_options->tasks, "Tasks")->required();
  cancel->add_flag("--force", cancel_options->force, "SIGKILL at once, without grace");

  std::shared_ptr<KillOptions> kill_options;
  CLI::App* const kill =
      AddVerb(app, context, "kill", "Send a signal to the process tree of running tasks", Kill,
              &kill_options);
  kill->add_option("ID", kill_options->tasks, "Tasks")->required();
  kill->add_option("-s,--signal", kill_options->signal, "TERM, SIGTERM, term or 15 (default TERM)")
      ->type_name("SIGNAL");

  std::shared_ptr<RetryOptions> retry_options;
  CLI::App* const retry =
      AddVerb(app, context, "retry", "Submit finished tasks once more, as new tasks", Retry,
              &retry_options);
  retry->add_option("ID", retry_options->tasks, "Tasks")->required();

  std::shared_ptr<RemoveOptions> remove_options;
  CLI::App* const remove = AddVerb(app, context, "rm", "Forget finished tasks and their results",
                                   Remove, &remove_options);
  remove->add_option("ID", remove_options->tasks, "Tasks");
  remove->add_flag("--finished", remove_options->finished, "All that have ended");
  remove->add_option("-p,--pool", remove_options->pool, "All of this pool that have ended")
      ->type_name("POOL");
  remove->add_option("-s,--state", remove_options->states, "All in these states")
      ->delimiter(',')
      ->type_name("STATE");
}

}  // namespace prefork::cli
