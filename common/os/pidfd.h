#ifndef PREFORK_COMMON_OS_PIDFD_H_
#define PREFORK_COMMON_OS_PIDFD_H_

#include <sys/resource.h>
#include <sys/types.h>

#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/os/fd.h"

namespace prefork::os {

// A handle on one process that a reused pid can't mislead. Readable (EPOLLIN) once the process has
// ended.
class Pidfd {
 public:
  Pidfd() = default;
  // Takes a pidfd received from elsewhere. The kernel says which pid it means; FAILED_PRECONDITION
  // if `fd` is no pidfd, NOT_FOUND if its process is gone and reaped already.
  static absl::StatusOr<Pidfd> Adopt(Fd fd);
  // NOT_FOUND when there is no such process. A child that is not reaped yet can always be opened.
  static absl::StatusOr<Pidfd> Open(pid_t pid);

  bool valid() const { return fd_.valid(); }
  int fd() const { return fd_.get(); }
  pid_t pid() const { return pid_; }

  // NOT_FOUND: it has been reaped. Signalling a zombie succeeds and does nothing.
  absl::Status SendSignal(int signal) const;
  // Has the process ended (zombies have)?
  bool HasExited() const;

  struct Exit {
    int wait_status;  // as wait4(2) gives it; see wait_status.h
    rusage usage;     // of the process and its reaped children
  };
  // Reaps the process, which must be a child of this one. nullopt: it still runs and `wait` is
  // false. NOT_FOUND: not our child, or reaped elsewhere.
  absl::StatusOr<std::optional<Exit>> Reap(bool wait) const;

 private:
  Pidfd(Fd fd, pid_t pid) : fd_(std::move(fd)), pid_(pid) {}
  Fd fd_;
  pid_t pid_ = -1;
};

}  // namespace prefork::os

#endif  // PREFORK_COMMON_OS_PIDFD_H_
