#include "common/os/wait_status.h"

#include <signal.h>
#include <sys/wait.h>

#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace prefork::os {
namespace {

constexpr absl::string_view kPrefix = "SIG";

bool IsSignal(int signal) { return signal >= 1 && signal <= SIGRTMAX; }

}  // namespace

std::string DescribeWaitStatus(int wait_status) {
  if (WIFEXITED(wait_status)) return absl::StrCat("exited with code ", WEXITSTATUS(wait_status));
  if (WIFSIGNALED(wait_status)) {
    const int signal = WTERMSIG(wait_status);
    return absl::StrCat("killed by signal ", signal, " (", SignalName(signal), ")",
                        WCOREDUMP(wait_status) ? ", core dumped" : "");
  }
  if (WIFSTOPPED(wait_status)) {
    return absl::StrCat("stopped by signal ", WSTOPSIG(wait_status), " (",
                        SignalName(WSTOPSIG(wait_status)), ")");
  }
  return absl::StrCat("wait status ", wait_status);
}

int ShellExitCode(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

std::string SignalName(int signal) {
  if (const char* name = sigabbrev_np(signal); name != nullptr) return absl::StrCat(kPrefix, name);
  if (signal >= SIGRTMIN && signal <= SIGRTMAX) {
    return signal == SIGRTMIN ? "SIGRTMIN" : absl::StrCat("SIGRTMIN+", signal - SIGRTMIN);
  }
  return absl::StrCat("signal ", signal);
}

absl::StatusOr<int> ParseSignal(absl::string_view text) {
  int number;
  if (absl::SimpleAtoi(text, &number)) {
    if (IsSignal(number)) return number;
    return absl::InvalidArgumentError(
        absl::StrCat("no signal ", number, "; signals go from 1 to ", SIGRTMAX));
  }
  const std::string upper = absl::AsciiStrToUpper(text);
  absl::string_view name = absl::StripPrefix(upper, kPrefix);
  for (int signal = 1; signal < SIGRTMIN; ++signal) {
    const char* known = sigabbrev_np(signal);
    if (known != nullptr && name == known) return signal;
  }
  if (absl::ConsumePrefix(&name, "RTMIN")) {
    int above = 0;
    const bool understood =
        name.empty() || (absl::ConsumePrefix(&name, "+") && absl::SimpleAtoi(name, &above));
    if (understood && above >= 0 && above <= SIGRTMAX - SIGRTMIN) return SIGRTMIN + above;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown signal '", text,
                   "'; give a name such as SIGTERM or TERM, or a number from 1 to ", SIGRTMAX));
}

}  // namespace prefork::os
