#ifndef PREFORK_CLIENT_CLI_PROGRESS_LINE_H_
#define PREFORK_CLIENT_CLI_PROGRESS_LINE_H_

#include <cstddef>
#include <functional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "client/cli/style.h"

namespace prefork::cli {

struct ProgressCounts {
  size_t total = 0;
  size_t done = 0;  // with the failed ones
  size_t failed = 0;
};

// "[#####-----]  512/1024  50%  340/s  ETA 1.5s  2 failed  pool: 2 busy, 0 idle", cut to `width`.
std::string ProgressText(const ProgressCounts& counts, absl::Duration elapsed,
                         const std::string& workers, size_t width);

// A bar on stderr that redraws itself four times a second: in place on a terminal, else as one
// line a second. Thread-safe.
class ProgressLine {
 public:
  // `counts` and `workers` are called on the line's own thread.
  ProgressLine(std::function<ProgressCounts()> counts, std::function<std::string()> workers);
  // Draws the last state, and a line break.
  ~ProgressLine();

  // Takes the bar off the terminal while `print` writes there.
  void Around(const std::function<void()>& print);

 private:
  void Run();
  void DrawLocked(const std::string& workers) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::function<ProgressCounts()> counts_;
  const std::function<std::string()> workers_;
  const bool terminal_;
  const absl::Time start_;
  absl::Mutex mu_;
  bool drawn_ ABSL_GUARDED_BY(mu_) = false;
  bool stop_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace prefork::cli

#endif  // PREFORK_CLIENT_CLI_PROGRESS_LINE_H_
