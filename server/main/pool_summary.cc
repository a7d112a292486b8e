#include "server/main/pool_summary.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace prefork::main {
namespace {

// The service manager takes a further line for a further variable, and zygotes write what they
// like.
std::string OneLine(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

}  // namespace

std::string DescribePools(const std::vector<engine::PoolInfo>& pools) {
  std::vector<std::string> parts;
  for (const engine::PoolInfo& pool : pools) {
    std::string state;
    switch (pool.state) {
      case engine::PoolState::kStarting:
        state = "starting";
        break;
      case engine::PoolState::kReady:
        state = "ready";
        break;
      case engine::PoolState::kPaused:
        state = "paused";
        break;
      case engine::PoolState::kDraining:
        state = "draining";
        break;
      case engine::PoolState::kDegraded:
        state = "DEGRADED: " + OneLine(pool.reason);
        break;
      case engine::PoolState::kDeleted:
        continue;
    }
    parts.push_back(absl::StrCat("pool ", pool.spec.name, " ", state));
  }
  return absl::StrJoin(parts, "; ");
}

log::Level LevelOf(const std::vector<engine::PoolInfo>& pools, log::Level healthy) {
  const bool degraded = std::any_of(pools.begin(), pools.end(), [](const engine::PoolInfo& pool) {
    return pool.state == engine::PoolState::kDegraded;
  });
  return degraded ? log::Level::kWarning : healthy;
}

bool StartIsOver(const std::vector<engine::PoolInfo>& pools) {
  for (const engine::PoolInfo& pool : pools) {
    if (pool.state == engine::PoolState::kStarting) return false;
  }
  return true;
}

}  // namespace prefork::main
