#ifndef PREFORK_SERVER_MAIN_DAEMON_OPTIONS_H_
#define PREFORK_SERVER_MAIN_DAEMON_OPTIONS_H_

#include <string>

#include "absl/status/statusor.h"
#include "common/log/logger.h"
#include "server/config/config.h"
#include "server/engine/options.h"
#include "server/engine/segment_leases.h"

// The configuration in the terms of those that act on it.
namespace prefork::main {

// `worker_program` is the one to use: an absolute path.
engine::EngineOptions ToEngineOptions(const config::Config& config,
                                      const std::string& worker_program);

// What clients on this host may have in their hands.
engine::SegmentLeaseLimits ToLeaseLimits(const config::Config& config);

log::Level ToLogLevel(config::LogLevel level);

// The configured worker program; else prefork-worker beside this program, or where an installation or a
// build has it relative to it. NOT_FOUND names the places.
absl::StatusOr<std::string> FindWorkerProgram(const std::string& configured,
                                              const std::string& own_program);

// Workers a pool of this configured size gets: 0 is as many as the CPU quota and affinity allow.
uint32_t EffectiveSize(uint32_t configured);

}  // namespace prefork::main

#endif  // PREFORK_SERVER_MAIN_DAEMON_OPTIONS_H_
