#include "server/main/reload_plan.h"

#include <algorithm>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "server/config/schema.h"
#include "server/config/value.h"

namespace prefork::main {
namespace {

const pool::PoolSpec* FindPool(const config::Config& config, const std::string& name) {
  const auto found =
      std::find_if(config.pools.begin(), config.pools.end(),
                   [&name](const pool::PoolSpec& spec) { return spec.name == name; });
  return found == config.pools.end() ? nullptr : &*found;
}

// Names of the keys of `section` whose values differ. The configurations are copied: slots are made to
// be written to.
std::vector<std::string> ChangedKeys(std::string_view section, config::Config before,
                                     config::Config after, pool::PoolSpec pool_before,
                                     pool::PoolSpec pool_after) {
  std::vector<std::string> changed;
  for (const config::Key* key : config::KeysOf(section)) {
    if (config::ToToml(key->rule.type, key->slot(before, pool_before)) !=
        config::ToToml(key->rule.type, key->slot(after, pool_after))) {
      changed.emplace_back(key->name);
    }
  }
  return changed;
}

}  // namespace

ReloadPlan PlanReload(const config::Config& before, const config::Config& after) {
  ReloadPlan plan;
  for (const config::Section& section : config::Sections()) {
    if (section.name == config::kPoolSection) continue;
    for (const std::string& key :
         ChangedKeys(section.name, before, after, before.pool_defaults, after.pool_defaults)) {
      const std::string path = absl::StrCat(std::string(section.name), ".", key);
      if (path == "daemon.log_level") {
        plan.log_level_changed = true;
      } else if (section.name != config::kPoolDefaultsSection) {
        plan.needs_restart.push_back(path);
      }
    }
  }
  for (const pool::PoolSpec& spec : after.pools) {
    const pool::PoolSpec* old = FindPool(before, spec.name);
    if (old == nullptr) {
      plan.added.push_back(spec);
      continue;
    }
    for (const std::string& key : ChangedKeys(config::kPoolSection, before, after, *old, spec)) {
      if (key == "size") {
        plan.resized.push_back({spec.name, spec.size});
      } else {
        plan.needs_restart.push_back(absl::StrCat("pool.", spec.name, ".", key));
      }
    }
  }
  for (const pool::PoolSpec& spec : before.pools) {
    if (FindPool(after, spec.name) == nullptr) plan.removed.push_back(spec.name);
  }
  return plan;
}

}  // namespace prefork::main
