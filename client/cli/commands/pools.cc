// prefork pools, prefork pool create|show|delete.
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/commands/commands.h"
#include "client/cli/format.h"
#include "client/cli/json.h"
#include "client/cli/options.h"
#include "client/cli/pool_table.h"

namespace prefork::cli {
namespace {

struct CreateOptions {
  std::string name;
  std::string runtime = "command";
  uint32_t size = 0;
  std::vector<std::string> modules;
  std::string interpreter;
  std::vector<std::string> preload;
  std::optional<absl::Duration> idle_timeout;
  std::vector<std::string> env;
  std::string cwd;
  uint64_t max_tasks = 0;
  std::optional<absl::Duration> max_age;
  std::optional<uint64_t> max_rss;
  std::optional<absl::Duration> task_timeout;
};
struct ShowPoolOptions {
  std::string name;
};
struct DeleteOptions {
  std::string name;
  bool force = false;
};

void SetDuration(absl::Duration duration, google::protobuf::Duration* out) {
  absl::Duration rest;
  out->set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &rest));
  out->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
}

absl::StatusOr<int> Pools(Context& context, const NoOptions& /*options*/) {
  const auto api = context.Connect();
  if (!api.ok()) return api.status();
  const auto pools = (*api)->ListPools();
  if (!pools.ok()) return pools.status();
  if (context.options().json) {
    std::cout << ToJson(*pools) << '\n';
  } else if (context.options().quiet) {
    for (const v1::Pool& pool : pools->pools()) std::cout << pool.spec().name() << '\n';
  } else {
    std::cout << PoolTable(pools->pools()).ToText(context.out_style());
  }
  return kExitOk;
}

absl::StatusOr<v1::PoolSpec> MakePoolSpec(const CreateOptions& options) {
  v1::PoolSpec spec;
  spec.set_name(options.name);
  const auto runtime = ParseRuntime(options.runtime);
  if (!runtime.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("--runtime: ", runtime.status().message()));
  }
  spec.set_runtime(*runtime);
  spec.set_size(options.size);
  for (const std::string& module : options.modules) {
    std::error_code error;
    const std::filesystem::path path = std::filesystem::absolute(module, error);
    if (!std::filesystem::is_regular_file(path, error)) {
      return absl::InvalidArgumentError(absl::StrCat("--module: there is no file ", path.string()));
    }
    spec.add_modules(path.string());
  }
  for (const std::string& variable : options.env) {
    const auto pair = SplitPair("--env", variable);
    if (!pair.ok()) return pair.status();
    (*spec.mutable_env())[pair->first] = pair->second;
  }
  spec.set_cwd(options.cwd);
  spec.set_interpreter(options.interpreter);
  for (const std::string& module : options.preload) spec.add_preload(module);
  if (options.idle_timeout) SetDuration(*options.idle_timeout, spec.mutable_idle_timeout());
  spec.set_max_tasks_per_worker(options.max_tasks);
  if (options.max_age) SetDuration(*options.max_age, spec.mutable_max_worker_age());
  if (options.max_rss) spec.set_max_worker_rss_bytes(*options.max_rss);
  if (options.task_timeout) SetDuration(*options.task_timeout, spec.mutable_task_timeout());
  return spec;
}

void Print(Context& context, const v1::Pool& pool) {
  if (context.options().json) {
    std::cout << ToJson(pool) << '\n';
    return;
  }
  google::protobuf::RepeatedPtrField<v1::Pool> pools;
  *pools.Add() = pool;
  std::cout << PoolTable(pools).ToText(context.out_style());
}

absl::StatusOr<int> Create(Context& context, const CreateOptions& options) {
  const auto spec = MakePoolSpec(options);
  if (!spec.ok()) return spec.status();
  const auto api = context.Connect(Context::Start::kMay);
  if (!api.ok()) return api.status();
  const auto pool = (*api)->CreatePool(*spec);
  if (!pool.ok()) return pool.status();
  if (!context.options().quiet || context.options().json) Print(context, *pool);
  return kExitOk;
}

absl::StatusOr<int> ShowPool(Context& context, const ShowPoolOptions& options) {
  const auto api = context.Connect();
  if (!api.ok()) return api.status();
  const auto pool = (*api)->GetPool(options.name);
  if (!pool.ok()) return context.ExplainPool(pool.status(), options.name);
  Print(context, *pool);
  if (context.options().json) return kExitOk;
  std::cout << "\nspec " << ToJson(pool->spec()) << "\n\n";
  const auto workers = (*api)->ListWorkers(options.name);
  if (!workers.ok()) return workers.status();
  std::cout << WorkerTable(context, workers->workers()).ToText(context.out_style());
  return kExitOk;
}

absl::StatusOr<int> Delete(Context& context, const DeleteOptions& options) {
  const auto api = context.Connect();
  if (!api.ok()) return api.status();
  const absl::Status deleted = (*api)->DeletePool(options.name, options.force);
  if (!deleted.ok()) return context.ExplainPool(deleted, options.name);
  return kExitOk;
}

}  // namespace

void AddPools(CLI::App& app, Context& context) {
  std::shared_ptr<NoOptions> none;
  AddVerb(app, context, "pools", "List pools", Pools, &none);
  CLI::App* const pool = app.add_subcommand("pool", "Create, show and delete pools");
  pool->require_subcommand(1);

  std::shared_ptr<CreateOptions> create_options;
  CLI::App* const create = AddVerb(
      *pool, context, "create", "Make a pool; it may still be starting", Create, &create_options);
  create->add_option("NAME", create_options->name, "Its name")->required();
  create
      ->add_option("-r,--runtime", create_options->runtime,
                   "command, native or python (default command)")
      ->type_name("RUNTIME");
  create->add_option("-n,--size", create_options->size, "Workers (default: what the CPU allows)")
      ->type_name("N");
  create
      ->add_option("-m,--module", create_options->modules,
                   "Shared library with functions, for native")
      ->type_name("FILE");
  create
      ->add_option("-i,--interpreter", create_options->interpreter,
                   "Interpreter with the package prefork, for python (default python3)")
      ->type_name("PYTHON");
  create
      ->add_option("--preload", create_options->preload,
                   "Module to import before workers are forked, for python")
      ->type_name("MODULE");
  create->add_option("-e,--env", create_options->env, "Set in its workers")
      ->type_name("NAME=VALUE");
  create->add_option("-C,--cwd", create_options->cwd, "Its workers' directory")->type_name("DIR");
  create->add_option("--max-tasks", create_options->max_tasks, "Replace a worker after so many")
      ->type_name("N");
  AddDuration(create, "--max-age", &create_options->max_age, "Replace a worker that is older");
  AddBytes(create, "--max-rss", &create_options->max_rss, "Replace a worker that is larger");
  AddDuration(create, "--task-timeout", &create_options->task_timeout,
              "For tasks that set none themselves");
  AddDuration(create, "--idle-timeout", &create_options->idle_timeout,
              "Delete the pool after so long without a task");

  std::shared_ptr<ShowPoolOptions> show_options;
  AddVerb(*pool, context, "show", "Show a pool and its workers", ShowPool, &show_options)
      ->add_option("NAME", show_options->name, "Pool")
      ->required();

  std::shared_ptr<DeleteOptions> delete_options;
  CLI::App* const remove =
      AddVerb(*pool, context, "delete", "Delete a pool", Delete, &delete_options);
  remove->add_option("NAME", delete_options->name, "Pool")->required();
  remove->add_flag("--force", delete_options->force, "Also when it has tasks; cancels them");
}

}  // namespace prefork::cli
