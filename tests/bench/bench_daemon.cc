#include "tests/bench/bench_daemon.h"

#include <filesystem>
#include <fstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/os/process_stats.h"

namespace prefork::bench {

absl::StatusOr<std::unique_ptr<testing::Daemon>> StartDaemon(int workers, const std::string& more,
                                                             const std::string& other) {
  return testing::Daemon::Start({.config = testing::NativePoolConfig(kPool, workers, more) + other,
                                 .ready_timeout = absl::Seconds(120)});
}

absl::StatusOr<client::Client> Connect(const testing::Daemon& daemon) {
  return client::Client::Connect(
      {.address = daemon.address(), .autostart = false, .client_name = "prefork_bench"});
}

absl::Status RunOne(client::Client& client, const client::TaskSpec& spec) {
  const absl::StatusOr<client::TaskHandle> task = client.Submit(spec);
  if (!task.ok()) return task.status();
  const absl::StatusOr<client::TaskResult> result = task->Get();
  return result.ok() ? client::ToStatus(*result) : result.status();
}

absl::StatusOr<double> RssBytes(pid_t pid) {
  const absl::StatusOr<os::ProcessStats> stats = os::ReadProcessStats(pid);
  if (!stats.ok()) return stats.status();
  return static_cast<double>(stats->rss_bytes);
}

absl::StatusOr<double> ContextSwitches(pid_t pid) {
  double total = 0;
  std::error_code error;
  for (const auto& thread :
       std::filesystem::directory_iterator(absl::StrCat("/proc/", pid, "/task"), error)) {
    std::ifstream status(thread.path() / "status");
    for (std::string line; std::getline(status, line);) {
      absl::string_view count = line;
      int64_t switches = 0;
      if ((absl::ConsumePrefix(&count, "voluntary_ctxt_switches:") ||
           absl::ConsumePrefix(&count, "nonvoluntary_ctxt_switches:")) &&
          absl::SimpleAtoi(count, &switches)) {
        total += static_cast<double>(switches);
      }
    }
  }
  if (error) return absl::NotFoundError(absl::StrCat("process ", pid, ": ", error.message()));
  return total;
}

}  // namespace prefork::bench
