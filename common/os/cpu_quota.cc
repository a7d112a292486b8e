#include "common/os/cpu_quota.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/os/proc_file.h"

namespace prefork::os {
namespace {

int AffinityCpus() {
  // Grows for machines with more CPUs than the fixed cpu_set_t holds.
  for (size_t cpus = CPU_SETSIZE; cpus <= 1 << 16; cpus *= 2) {
    cpu_set_t* set = CPU_ALLOC(cpus);
    const size_t bytes = CPU_ALLOC_SIZE(cpus);
    const bool ok = sched_getaffinity(0, bytes, set) == 0;
    const int count = ok ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (ok) return count;
  }
  return static_cast<int>(std::thread::hardware_concurrency());
}

std::optional<double> ReadNumber(const std::string& path) {
  const absl::StatusOr<std::string> content = ReadSmallFile(path);
  double number;
  if (!content.ok() || !absl::SimpleAtod(*content, &number)) return std::nullopt;
  return number;
}

// "200000 100000" (microseconds of CPU in each period) or "max 100000".
std::optional<double> QuotaV2(const std::string& group) {
  const absl::StatusOr<std::string> content = ReadSmallFile(group + "/cpu.max");
  if (!content.ok()) return std::nullopt;
  const std::vector<absl::string_view> words =
      absl::StrSplit(*content, absl::ByAnyChar(" \n"), absl::SkipEmpty());
  double quota, period;
  if (words.size() != 2 || !absl::SimpleAtod(words[0], &quota) ||
      !absl::SimpleAtod(words[1], &period) || !(period > 0)) {
    return std::nullopt;
  }
  return quota / period;
}

std::optional<double> QuotaV1(const std::string& group) {
  const std::optional<double> quota = ReadNumber(group + "/cpu.cfs_quota_us");
  const std::optional<double> period = ReadNumber(group + "/cpu.cfs_period_us");
  if (!quota || !period || *quota <= 0 || *period <= 0) return std::nullopt;  // -1: no quota
  return *quota / *period;
}

// The tightest quota from the group at `path` up to the hierarchy's mount point.
template <typename ReadQuota>
double TightestQuota(const std::string& mount, std::string path, ReadQuota read_quota) {
  double tightest = std::numeric_limits<double>::infinity();
  for (;;) {
    if (const std::optional<double> quota = read_quota(mount + path); quota)
      tightest = std::min(tightest, *quota);
    const size_t slash = path.rfind('/');
    if (slash == std::string::npos) return tightest;
    path.resize(slash);
  }
}

double CgroupCpus(const CpuQuotaPaths& paths) {
  double tightest = std::numeric_limits<double>::infinity();
  const absl::StatusOr<std::string> content = ReadSmallFile(paths.proc_self_cgroup);
  if (!content.ok()) return tightest;
  for (const absl::string_view line : absl::StrSplit(*content, '\n', absl::SkipEmpty())) {
    // hierarchy ID : controllers : path
    const std::vector<absl::string_view> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3) continue;
    const std::string path(absl::StripSuffix(parts[2], "/"));
    if (parts[1].empty()) {
      for (const char* mount : {"", "/unified"}) {
        tightest = std::min(tightest, TightestQuota(paths.cgroup_root + mount, path, QuotaV2));
      }
      continue;
    }
    const std::vector<absl::string_view> controllers = absl::StrSplit(parts[1], ',');
    if (std::find(controllers.begin(), controllers.end(), "cpu") == controllers.end()) continue;
    for (const std::string& mount : {absl::StrCat("/", parts[1]), std::string("/cpu")}) {
      tightest = std::min(tightest, TightestQuota(paths.cgroup_root + mount, path, QuotaV1));
    }
  }
  return tightest;
}

}  // namespace

int UsableCpus(const CpuQuotaPaths& paths) {
  const double cpus = std::min<double>(AffinityCpus(), std::ceil(CgroupCpus(paths)));
  return std::max(1, static_cast<int>(cpus));
}

}  // namespace prefork::os
