#include "common/os/pidfd.h"

extern "C" {  // glibc 2.36 forgets to say so in its header
#include <sys/pidfd.h>
}

#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/os/errno_status.h"
#include "common/os/proc_file.h"

namespace prefork::os {
namespace {

// waitid(2) tells why a child ended in two fields; this packs them as wait4(2) does.
int PackWaitStatus(const siginfo_t& info) {
  switch (info.si_code) {
    case CLD_EXITED:
      return (info.si_status & 0xff) << 8;
    case CLD_DUMPED:
      return info.si_status | 0x80;
    default:
      return info.si_status;
  }
}

}  // namespace

absl::StatusOr<Pidfd> Pidfd::Adopt(Fd fd) {
  absl::StatusOr<std::string> info = ReadSmallFile(absl::StrCat("/proc/self/fdinfo/", fd.get()));
  if (!info.ok()) return info.status();
  for (absl::string_view line : absl::StrSplit(*info, '\n')) {
    if (!absl::ConsumePrefix(&line, "Pid:")) continue;
    pid_t pid;
    if (!absl::SimpleAtoi(line, &pid)) break;
    if (pid > 0) return Pidfd(std::move(fd), pid);
    return absl::NotFoundError(absl::StrCat("the process of pidfd ", fd.get(), " is gone"));
  }
  return absl::FailedPreconditionError(absl::StrCat("descriptor ", fd.get(), " is not a pidfd"));
}

absl::StatusOr<Pidfd> Pidfd::Open(pid_t pid) {
  Fd fd(pidfd_open(pid, 0));
  if (fd.valid()) return Pidfd(std::move(fd), pid);
  if (errno == ESRCH) return absl::NotFoundError(absl::StrCat("there is no process ", pid));
  return ErrnoStatus(errno, absl::StrCat("pidfd_open of process ", pid));
}

absl::Status Pidfd::SendSignal(int signal) const {
  if (pidfd_send_signal(fd_.get(), signal, nullptr, 0) == 0) return absl::OkStatus();
  if (errno == ESRCH) return absl::NotFoundError(absl::StrCat("process ", pid_, " is gone"));
  return ErrnoStatus(errno, absl::StrCat("pidfd_send_signal ", signal, " to process ", pid_));
}

bool Pidfd::HasExited() const {
  pollfd poll_fd = {fd_.get(), POLLIN, 0};
  return poll(&poll_fd, 1, 0) > 0;
}

absl::StatusOr<std::optional<Pidfd::Exit>> Pidfd::Reap(bool wait) const {
  siginfo_t info = {};
  Exit exit = {};
  long result;
  do {
    // The system call rather than waitid(3), because only it hands out the rusage.
    result =
        syscall(SYS_waitid, P_PIDFD, fd_.get(), &info, WEXITED | (wait ? 0 : WNOHANG), &exit.usage);
  } while (result != 0 && errno == EINTR);
  if (result != 0) {
    if (errno == ECHILD) {
      return absl::NotFoundError(
          absl::StrCat("process ", pid_, " is not our child, or was reaped"));
    }
    return ErrnoStatus(errno, absl::StrCat("waitid for process ", pid_));
  }
  if (info.si_pid == 0) return std::nullopt;
  exit.wait_status = PackWaitStatus(info);
  return exit;
}

}  // namespace prefork::os
