#ifndef PREFORK_SERVER_MAIN_POOL_SUMMARY_H_
#define PREFORK_SERVER_MAIN_POOL_SUMMARY_H_

#include <string>
#include <vector>

#include "common/log/logger.h"
#include "server/engine/types.h"

// What the service manager and the daemon's log are told about all pools.
namespace prefork::main {

// "pool a ready; pool b DEGRADED: why", always one line.
std::string DescribePools(const std::vector<engine::PoolInfo>& pools);

// The level of a line about them: a warning when one is degraded, else `healthy`.
log::Level LevelOf(const std::vector<engine::PoolInfo>& pools, log::Level healthy);

// The service manager may start what depends on us: every pool has come up, or is known not to.
bool StartIsOver(const std::vector<engine::PoolInfo>& pools);

}  // namespace prefork::main

#endif  // PREFORK_SERVER_MAIN_POOL_SUMMARY_H_
