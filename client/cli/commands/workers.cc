// prefork workers, prefork functions: what the pools consist of and offer.
#include <iostream>
#include <memory>
#include <string>

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

absl::StatusOr<int> Functions(Context& context, const PoolFilter& filter) {
  const auto api = context.Connect();
  if (!api.ok()) return api.status();
  const auto functions = (*api)->ListFunctions(filter.pool);
  if (!functions.ok()) return context.ExplainPool(functions.status(), filter.pool);
  if (context.options().json) {
    std::cout << ToJson(*functions) << '\n';
    return kExitOk;
  }
  Table table({{"POOL"}, {"FUNCTION"}, {"DESCRIPTION"}});
  for (const v1::Function& function : functions->functions()) {
    table.AddRow({function.pool(), function.name(), function.description()});
  }
  std::cout << table.ToText(context.out_style());
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
