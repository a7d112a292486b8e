#ifndef PREFORK_COMMON_OS_PROCESS_STATS_H_
#define PREFORK_COMMON_OS_PROCESS_STATS_H_

#include <sys/types.h>

#include <cstdint>

#include "absl/status/statusor.h"

namespace prefork::os {

// What /proc/PID/stat tells.
struct ProcessStats {
  pid_t parent = 0;
  pid_t process_group = 0;
  pid_t session = 0;
  char state = '?';  // R, S, D, Z (zombie), T (stopped), ...
  int threads = 0;
  int64_t user_cpu_ns = 0;
  int64_t system_cpu_ns = 0;
  int64_t rss_bytes = 0;
  uint64_t start_ticks = 0;  // since boot; with the pid it names a process for ever
};
// NOT_FOUND when there is no such process.
absl::StatusOr<ProcessStats> ReadProcessStats(pid_t pid);

// Resident memory that is its own: without files and shared memory that it has mapped. NOT_FOUND when
// there is no such process.
absl::StatusOr<int64_t> ReadPrivateRss(pid_t pid);

// Proportional set size: private memory plus the fair share of shared pages. Costs a page-table
// walk.
absl::StatusOr<int64_t> ReadPssBytes(pid_t pid);

}  // namespace prefork::os

#endif  // PREFORK_COMMON_OS_PROCESS_STATS_H_
