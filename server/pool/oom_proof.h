#ifndef PREFORK_SERVER_POOL_OOM_PROOF_H_
#define PREFORK_SERVER_POOL_OOM_PROOF_H_

#include <cstdint>
#include <optional>
#include <string>

namespace prefork::pool {

// Where the kernel counts its OOM kills; tests point it elsewhere.
struct OomProofPaths {
  std::string proc_self_cgroup = "/proc/self/cgroup";
  std::string cgroup_root = "/sys/fs/cgroup";
  std::string vmstat = "/proc/vmstat";
};

// Tells whether a SIGKILL that nobody sent came from the kernel's OOM killer, by its counters:
// those of our cgroup (v2 memory.events, v1 memory.oom_control), or the system's (/proc/vmstat)
// where the cgroup has none. One for the whole daemon, so that one kill proves one death. One
// thread.
class OomProof {
 public:
  // Remembers the counters' present values.
  explicit OomProof(OomProofPaths paths = {});

  // Call once for each worker that died of an unexpected SIGKILL, after it was reaped. True: the
  // kernel has counted an OOM kill that no earlier call has taken.
  bool TakeKill();

 private:
  std::optional<uint64_t> Read() const;

  OomProofPaths paths_;
  std::optional<uint64_t> taken_;  // kills that were seen or taken
};

}  // namespace prefork::pool

#endif  // PREFORK_SERVER_POOL_OOM_PROOF_H_
