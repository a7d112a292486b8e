// Where OOM kills are counted, most precise first:
//
//   cgroup v2   <root>/<our path>/memory.events        "oom_kill N", with all cgroups below ours
//   cgroup v1   <root>/memory/<our path>/memory.oom_control   "oom_kill N"
//   no cgroup   /proc/vmstat                           "oom_kill N", of the whole machine
//
// The kernel counts before it sends SIGKILL, so the counter has grown by the time the death is
// seen. Each call takes one kill: two deaths need two counted kills.
#include "server/pool/oom_proof.h"

#include <fstream>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace prefork::pool {
namespace {

// The number behind "oom_kill " in a file of such lines.
std::optional<uint64_t> ReadOomKills(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    uint64_t kills = 0;
    if (words.size() == 2 && words[0] == "oom_kill" && absl::SimpleAtoi(words[1], &kills)) {
      return kills;
    }
  }
  return std::nullopt;
}

// Inside a cgroup namespace or container the path of /proc/self/cgroup may not exist below the
// mounted root; then the root itself is our cgroup.
std::optional<uint64_t> ReadCgroupKills(const std::string& mount, const std::string& path,
                                        const std::string& file) {
  std::optional<uint64_t> kills = ReadOomKills(absl::StrCat(mount, path, "/", file));
  return kills ? kills : ReadOomKills(absl::StrCat(mount, "/", file));
}

}  // namespace

OomProof::OomProof(OomProofPaths paths) : paths_(std::move(paths)), taken_(Read()) {}

bool OomProof::TakeKill() {
  const std::optional<uint64_t> counted = Read();
  if (!counted) return false;
  if (!taken_ || *taken_ > *counted) {  // no base to compare with: the counter is new to us
    taken_ = counted;
    return false;
  }
  if (*taken_ == *counted) return false;
  ++*taken_;
  return true;
}

std::optional<uint64_t> OomProof::Read() const {
  std::ifstream cgroups(paths_.proc_self_cgroup);
  std::string line;
  while (std::getline(cgroups, line)) {  // "hierarchy:controllers:path"
    const std::vector<std::string> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3) continue;
    std::optional<uint64_t> kills;
    if (parts[0] == "0" && parts[1].empty()) {
      kills = ReadCgroupKills(paths_.cgroup_root, parts[2], "memory.events");
    } else {
      const std::vector<std::string> controllers = absl::StrSplit(parts[1], ',');
      for (const std::string& controller : controllers) {
        if (controller != "memory") continue;
        kills = ReadCgroupKills(absl::StrCat(paths_.cgroup_root, "/memory"), parts[2],
                                "memory.oom_control");
      }
    }
    if (kills) return kills;
  }
  return ReadOomKills(paths_.vmstat);
}

}  // namespace prefork::pool
