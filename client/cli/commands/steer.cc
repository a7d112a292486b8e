// prefork scale, pause, resume, drain, reload. Each returns when its effect is real.
#include <iostream>
#include <memory>
#include <string>

#include "client/cli/commands/commands.h"
#include "client/cli/json.h"
#include "client/cli/options.h"
#include "client/cli/pool_table.h"

namespace prefork::cli {
namespace {

struct ScaleOptions {
  std::string pool;
  uint32_t size = 0;
};
struct PoolName {
  std::string pool;
};

absl::StatusOr<int> Report(Context& context, const std::string& name,
                           const absl::StatusOr<v1::Pool>& pool) {
  if (!pool.ok()) return context.ExplainPool(pool.status(), name);
  if (context.options().json) {
    std::cout << ToJson(*pool) << '\n';
  } else {
    context.Talk(WorkersLine(*pool));
  }
  return kExitOk;
}

absl::StatusOr<int> Scale(Context& context, const ScaleOptions& options) {
  const auto api = context.Connect();
  if (!api.ok()) return api.status();
  return Report(context, options.pool, (*api)->ScalePool(options.pool, options.size));
}

template <absl::StatusOr<v1::Pool> (client::Api::*kMethod)(const std::string&)>
absl::StatusOr<int> Steer(Context& context, const PoolName& options) {
  const auto api = context.Connect();
  if (!api.ok()) return api.status();
  return Report(context, options.pool, ((*api)->*kMethod)(options.pool));
}

template <absl::StatusOr<v1::Pool> (client::Api::*kMethod)(const std::string&)>
void AddSteering(CLI::App& app, Context& context, const char* name, const char* help) {
  std::shared_ptr<PoolName> options;
  AddVerb(app, context, name, help, Steer<kMethod>, &options)
      ->add_option("POOL", options->pool, "Pool")
      ->required();
}

}  // namespace

void AddSteer(CLI::App& app, Context& context) {
  std::shared_ptr<ScaleOptions> options;
  CLI::App* const scale =
      AddVerb(app, context, "scale", "Change the number of a pool's workers", Scale, &options);
  scale->add_option("POOL", options->pool, "Pool")->required();
  scale->add_option("N", options->size, "Workers")->required()->check(CLI::Range(1U, 4096U));
  AddSteering<&client::Api::PausePool>(app, context, "pause",
                                       "Let a pool keep its queue and run nothing new");
  AddSteering<&client::Api::ResumePool>(app, context, "resume", "End a pause or a drain");
  AddSteering<&client::Api::DrainPool>(
      app, context, "drain", "Refuse new tasks; returns when all that a pool had are finished");
  AddSteering<&client::Api::ReloadPool>(
      app, context, "reload", "Load a pool's code anew; returns when all its workers are new");
}

}  // namespace prefork::cli
