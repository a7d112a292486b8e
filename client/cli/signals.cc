#include "client/cli/signals.h"

#include <pthread.h>
#include <signal.h>

#include <charconv>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/text/nearest.h"

namespace prefork::cli {
namespace {

// Tells the watching thread to end; nobody else sends it to that thread.
constexpr int kStop = SIGUSR2;

sigset_t WatchedSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, kStop}) sigaddset(&set, signal);
  return set;
}

}  // namespace

absl::StatusOr<int> ParseSignal(const std::string& text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size()) {
    if (number > 0 && number < NSIG) return number;
    return absl::InvalidArgumentError(
        absl::StrCat("no signal ", text, "; they are 1 to ", NSIG - 1));
  }
  std::string name = absl::AsciiStrToUpper(text);
  if (absl::StartsWith(name, "SIG")) name = name.substr(3);
  std::vector<std::string> names;
  for (int signal = 1; signal < NSIG; ++signal) {
    const char* const abbreviation = sigabbrev_np(signal);
    if (abbreviation == nullptr) continue;
    if (name == abbreviation) return signal;
    names.emplace_back(abbreviation);
  }
  const std::string nearest = text::Nearest(name, names);
  return absl::InvalidArgumentError(
      absl::StrCat("no signal '", text, "'; ",
                   nearest.empty() ? "use a name such as TERM or a number"
                                   : absl::StrCat("did you mean '", nearest, "'?")));
}

InterruptWatch::InterruptWatch(std::function<void(int)> on_signal)
    : on_signal_(std::move(on_signal)) {
  const sigset_t watched = WatchedSignals();
  pthread_sigmask(SIG_BLOCK, &watched, nullptr);
  thread_ = std::thread([this] {
    const sigset_t waited = WatchedSignals();
    for (int signal = 0; sigwait(&waited, &signal) == 0 && signal != kStop;) on_signal_(signal);
  });
}

InterruptWatch::~InterruptWatch() {
  pthread_kill(thread_.native_handle(), kStop);
  thread_.join();
}

}  // namespace prefork::cli
