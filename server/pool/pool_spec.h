#ifndef PREFORK_SERVER_POOL_POOL_SPEC_H_
#define PREFORK_SERVER_POOL_POOL_SPEC_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"

namespace prefork::pool {

inline constexpr uint32_t kMaxPoolSize = 4096;  // workers

inline constexpr std::string_view kPoolNameRule =
    "1 to 63 of a-z 0-9 . _ -, beginning with a letter or digit";
// Is it what the rule says?
constexpr bool IsPoolName(std::string_view name) {
  constexpr size_t kLongest = 63;
  constexpr std::string_view kFirst = "abcdefghijklmnopqrstuvwxyz0123456789";
  constexpr std::string_view kAll = "abcdefghijklmnopqrstuvwxyz0123456789._-";
  return !name.empty() && name.size() <= kLongest && kFirst.find(name[0]) != name.npos &&
         name.find_first_not_of(kAll) == name.npos;
}

enum class Runtime : uint8_t { kCommand = 1, kNative = 2, kPython = 3 };

// How a pool is made; the effective values, defaults filled in. For the meaning of each field see
// prefork/v1/pool.proto.
struct PoolSpec {
  std::string name = "default";
  Runtime runtime = Runtime::kCommand;
  uint32_t size = 0;  // 0: as many as the CPU quota and affinity allow
  std::vector<std::string> modules;
  std::vector<std::string> zygote_command;  // empty: the runtime's own
  std::map<std::string, std::string> env;
  std::string cwd;
  uint64_t max_tasks_per_worker = 0;
  absl::Duration max_worker_age = absl::InfiniteDuration();
  uint64_t max_worker_rss_bytes = 0;
  uint64_t max_queued_tasks = 2'000'000;
  uint64_t max_queued_bytes = uint64_t{1} << 30;
  absl::Duration task_timeout = absl::InfiniteDuration();
  absl::Duration task_grace = absl::Seconds(5);
  absl::Duration start_timeout = absl::Seconds(30);
  uint32_t max_dedicated = 64;
  uint64_t max_output_bytes = 1 << 20;
  std::string interpreter = "python3";
  std::vector<std::string> preload;
  absl::Duration idle_timeout = absl::InfiniteDuration();
};

// Why a worker ended; mirrors WorkerExitReason of the API.
enum class ExitReason : uint8_t {
  kNone,
  kRecycled,
  kScaledDown,
  kCrashed,
  kOutOfMemory,
  kTaskStopped,
  kProtocolViolation,
  kStartFailed,
  kDedicatedDone,
  kShutdown,
};

}  // namespace prefork::pool

#endif  // PREFORK_SERVER_POOL_POOL_SPEC_H_
