#include "common/os/signal.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>

#include "common/os/errno_status.h"

namespace prefork::os {
namespace {

sigset_t SetOf(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  return set;
}

}  // namespace

absl::Status BlockSignals(std::initializer_list<int> signals) {
  const sigset_t set = SetOf(signals);
  const int error = pthread_sigmask(SIG_BLOCK, &set, nullptr);
  if (error != 0) return ErrnoStatus(error, "pthread_sigmask(SIG_BLOCK)");
  return absl::OkStatus();
}

void ResetSignals() {
  struct sigaction by_default = {};
  by_default.sa_handler = SIG_DFL;
  // SIGKILL, SIGSTOP and the two that glibc keeps for itself refuse; they are at their default
  // anyway.
  for (int signal = 1; signal < NSIG; ++signal) sigaction(signal, &by_default, nullptr);
  const sigset_t none = SetOf({});
  pthread_sigmask(SIG_SETMASK, &none, nullptr);
}

void IgnoreSignals(std::initializer_list<int> signals) {
  struct sigaction ignore = {};
  ignore.sa_handler = SIG_IGN;
  for (const int signal : signals) sigaction(signal, &ignore, nullptr);
}

absl::StatusOr<Fd> CreateSignalfd(std::initializer_list<int> signals) {
  const sigset_t set = SetOf(signals);
  Fd fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid()) return ErrnoStatus(errno, "signalfd");
  return fd;
}

std::optional<int> ReadSignalfd(int fd) {
  signalfd_siginfo info;
  if (read(fd, &info, sizeof(info)) != sizeof(info)) return std::nullopt;
  return static_cast<int>(info.ssi_signo);
}

}  // namespace prefork::os
