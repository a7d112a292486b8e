#ifndef PREFORK_COMMON_OS_CPU_QUOTA_H_
#define PREFORK_COMMON_OS_CPU_QUOTA_H_

#include <string>

namespace prefork::os {

// Where to look; tests point it elsewhere.
struct CpuQuotaPaths {
  std::string proc_self_cgroup = "/proc/self/cgroup";
  std::string cgroup_root = "/sys/fs/cgroup";
};

// How many CPUs this process may keep busy: the smaller of its affinity mask and its cgroup's quota
// (v2 cpu.max or v1 cpu.cfs_quota_us, the tightest of all ancestors), rounded up, at least 1. What
// can't be read sets no limit.
int UsableCpus(const CpuQuotaPaths& paths = {});

}  // namespace prefork::os

#endif  // PREFORK_COMMON_OS_CPU_QUOTA_H_
