#include "common/os/process_stats.h"

#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/os/proc_file.h"

namespace prefork::os {
namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;

// Places in /proc/PID/stat after the command's closing parenthesis, as proc(5) numbers them less 3.
enum StatField : size_t {
  kState = 0,
  kParent = 1,
  kGroup = 2,
  kSession = 3,
  kUserTicks = 11,
  kSystemTicks = 12,
  kThreads = 17,
  kStartTicks = 19,
  kRssPages = 21,
};

int64_t TicksToNs(int64_t ticks) {
  static const int64_t ns_per_tick = kNsPerSecond / sysconf(_SC_CLK_TCK);
  return ticks * ns_per_tick;
}

}  // namespace

absl::StatusOr<ProcessStats> ReadProcessStats(pid_t pid) {
  const std::string path = absl::StrCat("/proc/", pid, "/stat");
  absl::StatusOr<std::string> content = ReadSmallFile(path);
  if (!content.ok()) return content.status();
  // The command may hold spaces and parentheses; the last parenthesis ends it.
  const size_t end = content->rfind(") ");
  const std::vector<absl::string_view> fields = absl::StrSplit(
      absl::string_view(*content).substr(end == std::string::npos ? content->size() : end + 2),
      ' ');
  ProcessStats stats;
  int64_t user_ticks, system_ticks, rss_pages;
  if (fields.size() <= kRssPages || fields[kState].empty() ||
      !absl::SimpleAtoi(fields[kParent], &stats.parent) ||
      !absl::SimpleAtoi(fields[kGroup], &stats.process_group) ||
      !absl::SimpleAtoi(fields[kSession], &stats.session) ||
      !absl::SimpleAtoi(fields[kUserTicks], &user_ticks) ||
      !absl::SimpleAtoi(fields[kSystemTicks], &system_ticks) ||
      !absl::SimpleAtoi(fields[kThreads], &stats.threads) ||
      !absl::SimpleAtoi(fields[kStartTicks], &stats.start_ticks) ||
      !absl::SimpleAtoi(fields[kRssPages], &rss_pages)) {
    return absl::InternalError(absl::StrCat(path, " does not look like proc(5) says"));
  }
  stats.state = fields[kState][0];
  stats.user_cpu_ns = TicksToNs(user_ticks);
  stats.system_cpu_ns = TicksToNs(system_ticks);
  stats.rss_bytes = rss_pages * sysconf(_SC_PAGESIZE);
  return stats;
}

absl::StatusOr<int64_t> ReadPrivateRss(pid_t pid) {
  const std::string path = absl::StrCat("/proc/", pid, "/statm");
  absl::StatusOr<std::string> content = ReadSmallFile(path);
  if (!content.ok()) return content.status();
  const std::vector<absl::string_view> fields = absl::StrSplit(*content, ' ');
  int64_t resident_pages, shared_pages;
  if (fields.size() < 3 || !absl::SimpleAtoi(fields[1], &resident_pages) ||
      !absl::SimpleAtoi(fields[2], &shared_pages)) {
    return absl::InternalError(absl::StrCat(path, " does not look like proc(5) says"));
  }
  return (resident_pages - shared_pages) * sysconf(_SC_PAGESIZE);
}

absl::StatusOr<int64_t> ReadPssBytes(pid_t pid) {
  const std::string path = absl::StrCat("/proc/", pid, "/smaps_rollup");
  absl::StatusOr<std::string> content = ReadSmallFile(path);
  if (!content.ok()) return content.status();
  for (absl::string_view line : absl::StrSplit(*content, '\n')) {
    if (!absl::ConsumePrefix(&line, "Pss:") || !absl::ConsumeSuffix(&line, " kB")) continue;
    int64_t kibibytes;
    if (absl::SimpleAtoi(line, &kibibytes)) return kibibytes * 1024;
  }
  return absl::NotFoundError(
      absl::StrCat(path, " has no Pss line: the process is a zombie or a kernel thread"));
}

}  // namespace prefork::os
