#ifndef PREFORK_COMMON_OS_SPAWN_H_
#define PREFORK_COMMON_OS_SPAWN_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/os/pidfd.h"

namespace prefork::os {

struct SpawnOptions {
  std::vector<std::string> argv = {};  // argv[0] is looked up in PATH when it has no slash
  std::vector<std::string> env = {};   // "NAME=value", the whole environment of the child
  std::string cwd = {};                // empty: ours

  struct FdMapping {
    int child_fd;  // number in the child
    int fd;        // ours, lent
  };
  std::vector<FdMapping> fds =
      {};  // every other descriptor closes, given that ours all close on exec

  enum class Group { kSame, kNewGroup, kNewSession };
  Group group = Group::kSame;
};

// Starts a program with posix_spawn, so it is safe in a process with threads. The child begins with
// an empty signal mask and default dispositions. A program that can't be executed is a Status that
// names it and the reason of execve.
absl::StatusOr<Pidfd> Spawn(const SpawnOptions& options);

// Our own environment in the form SpawnOptions wants.
std::vector<std::string> CurrentEnvironment();

}  // namespace prefork::os

#endif  // PREFORK_COMMON_OS_SPAWN_H_
