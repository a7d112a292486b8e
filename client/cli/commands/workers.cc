// prefork workers, prefork functions: what the pools consist of and offer.
#include <iostream>
#include <memory>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/commands/commands.h"
#include "client/cli/json.h"
#include "client/cli/options.h"
#include "client/cli/pool_table.h"
#include "client/cli/table.h"

namespace prefork::cli {
namespace {

struct PoolFilter {
  std::string pool;
};

absl::StatusOr<int> Workers(Context& context, const PoolFilter& filter) {
  const auto api = context.Connect();
  if (!api.ok()) return api.status();
  const auto workers = (*api)->ListWorkers(filter.pool);
  if (!workers.ok()) return context.ExplainPool(workers.status(), filter.pool);
  if (context.options().json) {
    std::cout << ToJson(*workers) << '\n';
  } else {
    std::cout << WorkerTable(context, workers->workers()).ToText(context.out_style());
  }
  return kExitOk;
}

// Says of a pool that lists no functions what can be called there instead.
std::string ExplainNoFunctions(const v1::Pool& pool) {
  const std::string& name = pool.spec().name();
  switch (pool.spec().runtime()) {
    case v1::RUNTIME_COMMAND:
      return absl::StrCat(name, ": runs programs, not functions: prefork run -p ", name,
                          " PROGRAM");
    case v1::RUNTIME_PYTHON:
      return absl::StrCat(
          name, ": calls every function that its interpreter can import, by MODULE:FUNCTION",
          pool.spec().preload().empty() ? "" : "; already imported: ",
          absl::StrJoin(pool.spec().preload(), ", "), "; for example: prefork call -p ", name,
          " math:sqrt --json '[2]'");
    default:
      return pool.state() == v1::POOL_STATE_READY
                 ? absl::StrCat(name, ": its modules register no function")
                 : absl::StrCat(
                       name, ": its functions are known when it is ready; see: prefork pool show ",
                       name);
  }
}

absl::StatusOr<int> Functions(Context& context, const PoolFilter& filter) {
  const auto api = context.Connect();
  if (!api.ok()) return api.status();
  const auto functions = (*api)->ListFunctions(filter.pool);
  if (!functions.ok()) return context.ExplainPool(functions.status(), filter.pool);
  if (context.options().json) {
    std::cout << ToJson(*functions) << '\n';
    return kExitOk;
  }
  const auto pools = (*api)->ListPools();
  if (!pools.ok()) return pools.status();
  Table table({{"POOL"}, {"FUNCTION"}, {"DESCRIPTION"}});
  std::set<std::string> listed;
  for (const v1::Function& function : functions->functions()) {
    table.AddRow({function.pool(), function.name(), function.description()});
    listed.insert(function.pool());
  }
  std::cout << table.ToText(context.out_style()) << std::flush;
  for (const v1::Pool& pool : pools->pools()) {
    const std::string& name = pool.spec().name();
    const bool wanted = filter.pool.empty() || filter.pool == name;
    if (wanted && !listed.contains(name)) context.Talk(ExplainNoFunctions(pool));
  }
  return kExitOk;
}

}  // namespace

void AddWorkers(CLI::App& app, Context& context) {
  std::shared_ptr<PoolFilter> options;
  CLI::App* const workers =
      AddVerb(app, context, "workers", "List worker processes", Workers, &options);
  workers->add_option("POOL", options->pool, "Only of this pool");
  CLI::App* const functions = AddVerb(app, context, "functions",
                                      "List the functions that pools offer", Functions, &options);
  functions->add_option("POOL", options->pool, "Only of this pool");
}

}  // namespace prefork::cli
