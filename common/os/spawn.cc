#include "common/os/spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "common/os/errno_status.h"

namespace prefork::os {
namespace {

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  // The prototype of posix_spawn asks for char*, but it does not write.
  for (const std::string& string : strings) pointers.push_back(const_cast<char*>(string.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// A copy of each mapped descriptor above every number wanted in the child, so that one dup2 can't
// overwrite the source of a later one.
absl::StatusOr<std::vector<Fd>> MoveAside(const std::vector<SpawnOptions::FdMapping>& mappings) {
  int above = STDERR_FILENO + 1;
  for (const auto& mapping : mappings) above = std::max(above, mapping.child_fd + 1);
  std::vector<Fd> copies;
  for (const auto& mapping : mappings) {
    copies.emplace_back(fcntl(mapping.fd, F_DUPFD_CLOEXEC, above));
    if (!copies.back().valid()) {
      return ErrnoStatus(errno, absl::StrCat("fcntl(F_DUPFD_CLOEXEC) of descriptor ", mapping.fd));
    }
  }
  return copies;
}

short SetAttributes(SpawnOptions::Group group, posix_spawnattr_t* attributes) {
  sigset_t signals;
  sigemptyset(&signals);
  posix_spawnattr_setsigmask(attributes, &signals);
  sigfillset(&signals);
  posix_spawnattr_setsigdefault(attributes, &signals);
  short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
  if (group == SpawnOptions::Group::kNewGroup) {
    flags |= POSIX_SPAWN_SETPGROUP;
    posix_spawnattr_setpgroup(attributes, 0);
  } else if (group == SpawnOptions::Group::kNewSession) {
    flags |= POSIX_SPAWN_SETSID;
  }
  return flags;
}

}  // namespace

absl::StatusOr<Pidfd> Spawn(const SpawnOptions& options) {
  if (options.argv.empty() || options.argv[0].empty()) {
    return absl::InvalidArgumentError("no program to start: argv is empty");
  }
  absl::StatusOr<std::vector<Fd>> sources = MoveAside(options.fds);
  if (!sources.ok()) return sources.status();

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  absl::Cleanup destroy_actions = [&] { posix_spawn_file_actions_destroy(&actions); };
  int error = 0;
  for (size_t i = 0; i < options.fds.size() && error == 0; ++i) {
    error =
        posix_spawn_file_actions_adddup2(&actions, (*sources)[i].get(), options.fds[i].child_fd);
  }
  if (error == 0 && !options.cwd.empty()) {
    error = posix_spawn_file_actions_addchdir_np(&actions, options.cwd.c_str());
  }
  if (error != 0) return ErrnoStatus(error, "posix_spawn_file_actions");

  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  absl::Cleanup destroy_attributes = [&] { posix_spawnattr_destroy(&attributes); };
  posix_spawnattr_setflags(&attributes, SetAttributes(options.group, &attributes));

  pid_t pid;
  error = posix_spawnp(&pid, options.argv[0].c_str(), &actions, &attributes,
                       Pointers(options.argv).data(), Pointers(options.env).data());
  if (error != 0) {
    return SpawnErrnoStatus(
        error, absl::StrCat("cannot start ", options.argv[0],
                            options.cwd.empty() ? "" : absl::StrCat(" in ", options.cwd)));
  }
  absl::StatusOr<Pidfd> child = Pidfd::Open(pid);
  if (!child.ok()) {
    // No handle, no child: without it nobody could supervise or reap the process. Unreaped, its pid
    // can't be reused.
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
  return child;
}

std::vector<std::string> CurrentEnvironment() {
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) environment.emplace_back(*entry);
  return environment;
}

}  // namespace prefork::os
