// What prefork costs while it has nothing to do.
#include <signal.h>

#include <array>

#include "absl/time/clock.h"
#include "common/os/process_stats.h"
#include "common/os/spawn.h"
#include "prefork/api.h"
#include "tests/bench/bench_daemon.h"
#include "tests/bench/echo_client.h"
#include "tests/bench/row.h"
#include "tests/integration/wait_for.h"

namespace prefork::bench {
namespace {

constexpr double kMb = 1024 * 1024;
constexpr absl::Duration kIdle = absl::Seconds(3);
constexpr absl::Duration kSettleLimit = absl::Seconds(30);

// Waits until the daemon has no session any more. Who looks is connected as long as `looker` lives:
// its end would be work for the daemon, too.
absl::Status AwaitNoSessions(client::Api& looker) {
  absl::Status status;
  const bool none = testing::WaitFor(
      [&] {
        const absl::StatusOr<v1::DaemonStatus> seen = looker.GetStatus();
        status = seen.status();
        return !status.ok() || seen->sessions() == 0;
      },
      kSettleLimit);
  if (none) return status;
  return absl::DeadlineExceededError("the daemon keeps a session whose client is gone");
}

}  // namespace

absl::StatusOr<std::vector<Round>> MeasureIdleWakeups(int rounds) {
  auto daemon = StartDaemon(2);
  if (!daemon.ok()) return daemon.status();
  auto echo = EchoPeer::Start();
  if (!echo.ok()) return echo.status();
  {
    auto client = Connect(**daemon);
    if (!client.ok()) return client.status();
    if (absl::Status ran = RunOne(*client, {.pool = kPool, .function = "noop"}); !ran.ok())
      return ran;
  }
  auto looker = client::Api::Connect({.address = (*daemon)->address(), .autostart = false});
  if (!looker.ok()) return looker.status();
  if (absl::Status settled = AwaitNoSessions(**looker); !settled.ok()) return settled;
  const std::array<pid_t, 2> pids = {(*daemon)->pid(), (*echo)->pid()};
  std::vector<Round> all;
  for (int i = 0; i < rounds; ++i) {
    std::array<double, 2> before{};
    std::array<double, 2> per_second{};
    for (size_t j = 0; j < pids.size(); ++j) {
      const auto count = ContextSwitches(pids[j]);
      if (!count.ok()) return count.status();
      before[j] = *count;
    }
    absl::SleepFor(kIdle);  // the time over which is counted
    for (size_t j = 0; j < pids.size(); ++j) {
      const auto count = ContextSwitches(pids[j]);
      if (!count.ok()) return count.status();
      per_second[j] = (*count - before[j]) / absl::ToDoubleSeconds(kIdle);
    }
    all.push_back({per_second[0], per_second[1]});
  }
  return all;
}

absl::StatusOr<std::vector<Round>> MeasureDaemonRss(int rounds) {
  std::vector<Round> all;
  for (int i = 0; i < rounds; ++i) {
    auto daemon = StartDaemon(2);
    if (!daemon.ok()) return daemon.status();
    auto echo = EchoPeer::Start();
    if (!echo.ok()) return echo.status();
    const auto value = RssBytes((*daemon)->pid());
    const auto reference = RssBytes((*echo)->pid());
    if (!value.ok() || !reference.ok()) return value.ok() ? reference.status() : value.status();
    all.push_back({*value / kMb, *reference / kMb});
  }
  return all;
}

absl::StatusOr<std::vector<Round>> MeasureWorkerPss(int rounds) {
  std::vector<Round> all;
  for (int i = 0; i < rounds; ++i) {
    auto daemon = StartDaemon(2);
    if (!daemon.ok()) return daemon.status();
    auto client = Connect(**daemon);
    if (!client.ok()) return client.status();
    const absl::StatusOr<v1::ListWorkersResponse> workers = client->api().ListWorkers(kPool);
    if (!workers.ok()) return workers.status();
    std::vector<double> sizes;
    for (const v1::Worker& worker : workers->workers()) {
      const auto pss = os::ReadPssBytes(worker.pid());
      if (!pss.ok()) return pss.status();
      sizes.push_back(static_cast<double>(*pss) / kMb);
    }
    const absl::StatusOr<os::Pidfd> sleep = os::Spawn({.argv = {"/bin/sleep", "60"}});
    if (!sleep.ok()) return sleep.status();
    const auto reference = os::ReadPssBytes(sleep->pid());
    if (absl::Status killed = sleep->SendSignal(SIGKILL); !killed.ok()) return killed;
    sleep->Reap(/*wait=*/true).IgnoreError();
    if (!reference.ok()) return reference.status();
    all.push_back({Median(std::move(sizes)), static_cast<double>(*reference) / kMb});
  }
  return all;
}

}  // namespace prefork::bench
