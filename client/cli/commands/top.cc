// prefork top: pools, workers and running tasks on a live screen.
//
// The screen is the terminal's alternate one, drawn with plain escape sequences: home, each line
// with "clear to its end", then "clear below", so that nothing flickers. Keys and the next tick are
// awaited by poll(2) on the terminal; q or Ctrl-C ends it, and the old screen comes back.
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "client/cli/commands/commands.h"
#include "client/cli/format.h"
#include "client/cli/json.h"
#include "client/cli/options.h"
#include "client/cli/pool_table.h"

namespace prefork::cli {
namespace {

constexpr int kMaxTasks = 100;
constexpr size_t kBusySummaryWidth = 60;

struct TopOptions {
  bool once = false;
  std::optional<absl::Duration> every;
};

struct Snapshot {
  absl::Time time;
  v1::DaemonStatus status;
  v1::ListWorkersResponse workers;
  v1::ListTasksResponse running;
};

absl::StatusOr<Snapshot> Take(client::Api& api) {
  Snapshot snapshot;
  auto status = api.GetStatus();
  if (!status.ok()) return status.status();
  snapshot.status = *std::move(status);
  auto workers = api.ListWorkers("");
  if (!workers.ok()) return workers.status();
  snapshot.workers = *std::move(workers);
  v1::ListTasksRequest request;
  request.mutable_filter()->add_states(v1::TASK_STATE_RUNNING);
  request.set_page_size(kMaxTasks);
  auto running = api.ListTasks(request);
  if (!running.ok()) return running.status();
  snapshot.running = *std::move(running);
  snapshot.time = absl::Now();
  return snapshot;
}

uint64_t Finished(const Snapshot& snapshot) {
  uint64_t finished = 0;
  for (const v1::Pool& pool : snapshot.status.pools()) finished += pool.tasks_finished();
  return finished;
}

std::string Rate(const Snapshot& before, const Snapshot& now) {
  const double seconds = absl::ToDoubleSeconds(now.time - before.time);
  if (seconds <= 0) return "";
  const uint64_t finished = Finished(now) - std::min(Finished(now), Finished(before));
  return absl::StrFormat(", %.0f tasks/s", static_cast<double>(finished) / seconds);
}

std::string Render(Context& context, const Style& style, const Snapshot& before,
                   const Snapshot& now) {
  const v1::DaemonStatus& status = now.status;
  std::string text =
      absl::StrCat(style.Paint(Color::kBold, "prefork top"), "  ", status.version(), ", up ",
                   ShortDuration(now.time - ToTime(status.started_at())), ", ",
                   ShortBytes(status.rss_bytes()), ", ", status.sessions(), " sessions, ",
                   status.tasks_unfinished(), " unfinished tasks", Rate(before, now), "\n");
  for (const std::string& warning : status.warnings()) {
    absl::StrAppend(&text, style.Paint(Color::kYellow, "warning: "), warning, "\n");
  }
  absl::StrAppend(&text, "\n", PoolTable(status.pools()).ToText(style), "\n",
                  WorkerTable(context, now.workers.workers()).ToText(style), "\n");
  Table tasks({{"TASK", true}, {"POOL"}, {"RAN", true}, {"PROGRESS"}, {"WHAT"}});
  for (const v1::Task& task : now.running.tasks()) {
    const v1::Progress& progress = task.progress();
    tasks.AddRow({absl::StrCat(context.ShortNumber(task.task_id())), task.spec().pool(),
                  ShortDuration(now.time - ToTime(task.started_at())),
                  progress.total() > 0
                      ? absl::StrFormat("%.0f%%", 100 * progress.done() / progress.total())
                      : progress.text(),
                  Summary(task.spec(), kBusySummaryWidth)});
  }
  return absl::StrCat(text, tasks.ToText(style));
}

// SIGTERM ends the loop, so that the screen is given back; SIGWINCH only interrupts poll.
volatile std::sig_atomic_t g_terminated = 0;
void OnSignal(int signal) {
  if (signal == SIGTERM) g_terminated = 1;
}

void InstallHandlers() {
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGWINCH, &action, nullptr);
}

// The terminal in raw mode on its alternate screen, for as long as it lives.
class Screen {
 public:
  Screen() {
    InstallHandlers();
    tcgetattr(STDIN_FILENO, &before_);
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | ISIG);
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    std::cout << "\x1b[?1049h\x1b[?25l" << std::flush;
  }
  ~Screen() {
    std::cout << "\x1b[?25h\x1b[?1049l" << std::flush;
    tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  // As many lines as fit; lines are cut by the terminal, which does not wrap meanwhile.
  void Draw(const std::string& text) const {
    winsize size = {};
    ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    const size_t rows = size.ws_row > 1 ? size.ws_row - 1 : 24;
    std::vector<std::string> lines = absl::StrSplit(text, '\n');
    if (lines.size() > rows) lines.resize(rows);
    std::cout << "\x1b[?7l\x1b[H";
    for (const std::string& line : lines) std::cout << line << "\x1b[K\r\n";
    std::cout << "\x1b[J\x1b[?7h" << std::flush;
  }

  // False when the user wants to leave.
  bool AwaitTick(absl::Duration period) const {
    const absl::Time until = absl::Now() + period;
    while (true) {
      const absl::Duration left = until - absl::Now();
      if (left <= absl::ZeroDuration()) return true;
      pollfd key = {.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
      const int ready = poll(&key, 1, static_cast<int>(absl::ToInt64Milliseconds(left)) + 1);
      if (ready < 0) return g_terminated == 0;  // on SIGWINCH draw in the new size at once
      if (ready == 0) continue;
      constexpr char kCtrlC = 3;
      char pressed = 0;
      if (read(STDIN_FILENO, &pressed, 1) != 1) return false;
      if (pressed == 'q' || pressed == 'Q' || pressed == kCtrlC) return false;
    }
  }

 private:
  termios before_ = {};
};

absl::StatusOr<int> Top(Context& context, const TopOptions& options) {
  const auto api = context.Connect();
  if (!api.ok()) return api.status();
  auto now = Take(**api);
  if (!now.ok()) return now.status();
  if (context.options().json) {
    google::protobuf::Struct document;
    (*document.mutable_fields())["status"] = ToJsonValue(now->status);
    (*document.mutable_fields())["workers"] = ToJsonValue(now->workers);
    (*document.mutable_fields())["running"] = ToJsonValue(now->running);
    std::cout << ToJson(document) << '\n';
    return kExitOk;
  }
  const Style style = context.out_style();
  if (options.once || isatty(STDIN_FILENO) == 0 || isatty(STDOUT_FILENO) == 0) {
    std::cout << Render(context, style, *now, *now);
    return kExitOk;
  }
  const Screen screen;
  Snapshot before = *now;
  while (true) {
    screen.Draw(Render(context, style, before, *now));
    if (!screen.AwaitTick(options.every.value_or(absl::Seconds(1)))) return kExitOk;
    before = *std::move(now);
    now = Take(**api);
    if (!now.ok()) return now.status();
  }
}

}  // namespace

void AddTop(CLI::App& app, Context& context) {
  std::shared_ptr<TopOptions> options;
  CLI::App* const verb = AddVerb(
      app, context, "top", "Watch pools, workers and running tasks; q ends it", Top, &options);
  verb->add_flag("--once", options->once, "Print one picture and end (as without a terminal)");
  AddDuration(verb, "--every", &options->every, "Between two pictures (default 1s)");
}

}  // namespace prefork::cli
