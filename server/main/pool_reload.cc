#include "server/main/pool_reload.h"

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "server/main/daemon_options.h"

namespace prefork::main {
namespace {

// The daemon itself, for what the configuration asks of the engine.
constexpr engine::Caller kSelf = {.uid = 0, .privileged = true};

}  // namespace

void ReloadPools(const ReloadPlan& plan, engine::Engine* engine, log::Logger* log) {
  const auto report = [log](const std::string& what) {
    return [log, what](const absl::StatusOr<engine::PoolInfo>& pool) {
      if (pool.ok()) {
        log->Notice(absl::StrCat("reload: ", what));
      } else {
        log->Error(absl::StrCat("reload: ", what, ": ", pool.status().message()));
      }
    };
  };
  for (const pool::PoolSpec& spec : plan.added) {
    report(absl::StrCat("pool ", spec.name, " is added"))(engine->CreatePool(kSelf, spec));
  }
  for (const ReloadPlan::Resize& resize : plan.resized) {
    const uint32_t size = EffectiveSize(resize.size);
    engine->ScalePool(kSelf, resize.pool, size,
                      report(absl::StrCat("pool ", resize.pool, " has ", size, " workers")));
  }
  for (const std::string& name : plan.removed) {
    engine->DrainPool(kSelf, name,
                      [engine, name, report](const absl::StatusOr<engine::PoolInfo>& drained) {
                        if (!drained.ok()) {
                          report(absl::StrCat("pool ", name, " is drained"))(drained);
                          return;
                        }
                        engine->Post([engine, name, report] {
                          engine->DeletePool(kSelf, name, /*force=*/false,
                                             report(absl::StrCat("pool ", name, " is removed")));
                        });
                      });
  }
}

}  // namespace prefork::main
