#include "client/cli/progress_line.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "client/cli/format.h"

namespace prefork::cli {
namespace {

constexpr size_t kBarWidth = 24;
constexpr absl::Duration kTerminalPeriod = absl::Milliseconds(250);
constexpr absl::Duration kLogPeriod = absl::Seconds(1);

size_t TerminalWidth() {
  constexpr size_t kDefaultWidth = 100;
  winsize size = {};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kDefaultWidth;
  return size.ws_col;
}

}  // namespace

std::string ProgressText(const ProgressCounts& counts, absl::Duration elapsed,
                         const std::string& workers, size_t width) {
  const double share =
      counts.total == 0 ? 1 : static_cast<double>(counts.done) / static_cast<double>(counts.total);
  const auto filled = static_cast<size_t>(share * kBarWidth);
  const double seconds = std::max(absl::ToDoubleSeconds(elapsed), 1e-6);
  const double rate = static_cast<double>(counts.done) / seconds;
  std::string text = absl::StrFormat("[%s%s] %d/%d %3.0f%% %.0f/s", std::string(filled, '#'),
                                     std::string(kBarWidth - filled, '-'), counts.done,
                                     counts.total, share * 100, rate);
  if (counts.done > 0 && counts.done < counts.total) {
    const double left = static_cast<double>(counts.total - counts.done) / rate;
    absl::StrAppend(&text, " ETA ", ShortDuration(absl::Seconds(left)));
  }
  if (counts.failed > 0) absl::StrAppend(&text, " ", counts.failed, " failed");
  if (!workers.empty()) absl::StrAppend(&text, " | ", workers);
  if (text.size() > width) text.resize(width);
  return text;
}

ProgressLine::ProgressLine(std::function<ProgressCounts()> counts,
                           std::function<std::string()> workers)
    : counts_(std::move(counts)),
      workers_(std::move(workers)),
      terminal_(isatty(STDERR_FILENO) == 1),
      start_(absl::Now()),
      thread_([this] { Run(); }) {}

ProgressLine::~ProgressLine() {
  {
    absl::MutexLock lock(&mu_);
    stop_ = true;
  }
  thread_.join();
  const std::string workers = workers_();
  absl::MutexLock lock(&mu_);
  DrawLocked(workers);
  if (terminal_) std::cerr << std::endl;
}

void ProgressLine::Run() {
  const absl::Duration period = terminal_ ? kTerminalPeriod : kLogPeriod;
  const absl::Condition stopped(&stop_);
  while (true) {
    const std::string workers = workers_();
    absl::MutexLock lock(&mu_);
    if (stop_) return;
    DrawLocked(workers);
    if (mu_.AwaitWithTimeout(stopped, period)) return;
  }
}

void ProgressLine::DrawLocked(const std::string& workers) {
  constexpr size_t kLogWidth = 200;
  const std::string text = ProgressText(counts_(), absl::Now() - start_, workers,
                                        terminal_ ? TerminalWidth() - 1 : kLogWidth);
  if (terminal_) {
    std::cerr << "\r\x1b[K" << text << std::flush;
    drawn_ = true;
  } else {
    std::cerr << text << std::endl;
  }
}

void ProgressLine::Around(const std::function<void()>& print) {
  absl::MutexLock lock(&mu_);
  if (drawn_) std::cerr << "\r\x1b[K" << std::flush;
  drawn_ = false;
  print();
}

}  // namespace prefork::cli
