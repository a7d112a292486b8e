#ifndef PREFORK_SERVER_MAIN_RELOAD_PLAN_H_
#define PREFORK_SERVER_MAIN_RELOAD_PLAN_H_

#include <string>
#include <vector>

#include "server/config/config.h"
#include "server/pool/pool_spec.h"

namespace prefork::main {

// What SIGHUP does with a configuration that has changed. Done at once: pools that are new, gone or of
// another size, and the log level. All else waits for a restart.
struct ReloadPlan {
  std::vector<pool::PoolSpec> added;
  std::vector<std::string> removed;
  struct Resize {
    std::string pool;
    uint32_t size;  // 0: as many as the CPU quota allows
  };
  std::vector<Resize> resized;
  bool log_level_changed = false;
  std::vector<std::string> needs_restart;  // "daemon.socket", "pool.default.modules"

  bool empty() const {
    return added.empty() && removed.empty() && resized.empty() && !log_level_changed &&
           needs_restart.empty();
  }
};

ReloadPlan PlanReload(const config::Config& before, const config::Config& after);

}  // namespace prefork::main

#endif  // PREFORK_SERVER_MAIN_RELOAD_PLAN_H_
