#include "server/main/daemon_options.h"

#include <unistd.h>

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/os/cpu_quota.h"

namespace prefork::main {

engine::EngineOptions ToEngineOptions(const config::Config& config,
                                      const std::string& worker_program) {
  engine::EngineOptions options;
  options.worker_program = worker_program;
  options.pools = config.pools;
  options.result_ttl = config.results.ttl;
  options.max_finished_tasks = config.results.max_tasks;
  options.max_finished_bytes = config.results.max_bytes;
  options.max_events = config.limits.events;
  options.max_event_bytes = config.limits.event_bytes;
  options.max_payload_bytes = config.limits.max_payload_bytes;
  options.inline_threshold_bytes = config.limits.inline_payload_bytes;
  options.max_session_unfinished = config.limits.session_tasks;
  options.max_pools = config.limits.pools;
  options.max_unused_pools = config.limits.unused_pools;
  options.usable_cpus = static_cast<size_t>(os::UsableCpus());
  options.segments.max_total_bytes = config.limits.segment_bytes;
  options.segments.max_warm_bytes = config.limits.warm_segment_bytes;
  return options;
}

engine::SegmentLeaseLimits ToLeaseLimits(const config::Config& config) {
  return {.max_segments = config.limits.client_segments,
          .max_bytes = config.limits.client_segment_bytes,
          .max_total_bytes = config.limits.clients_segment_bytes};
}

log::Level ToLogLevel(config::LogLevel level) {
  switch (level) {
    case config::LogLevel::kDebug:
      return log::Level::kDebug;
    case config::LogLevel::kInfo:
      return log::Level::kInfo;
    case config::LogLevel::kWarning:
      return log::Level::kWarning;
    case config::LogLevel::kError:
      return log::Level::kError;
  }
  return log::Level::kInfo;
}

absl::StatusOr<std::string> FindWorkerProgram(const std::string& configured,
                                              const std::string& own_program) {
  std::vector<std::string> candidates;
  if (!configured.empty()) {
    candidates = {configured};
  } else {
    const std::string directory = own_program.substr(0, own_program.rfind('/'));
    candidates = {directory + "/prefork-worker", directory + "/../libexec/prefork/prefork-worker",
                  directory + "/../worker/prefork-worker"};
  }
  for (const std::string& candidate : candidates) {
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return absl::NotFoundError(absl::StrCat("prefork-worker is not an executable file at ",
                                          absl::StrJoin(candidates, ", "),
                                          "; set daemon.worker_program to it"));
}

uint32_t EffectiveSize(uint32_t configured) {
  return configured != 0 ? configured : static_cast<uint32_t>(os::UsableCpus());
}

}  // namespace prefork::main
