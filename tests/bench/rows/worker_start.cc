// How long it takes until a new worker works: a dedicated task is a fork of its own, and a killed worker is replaced.
// Both are seen from the client, so they include the way there and back.
#include <signal.h>

#include "common/os/spawn.h"
#include "prefork/api.h"
#include "tests/bench/bench_daemon.h"
#include "tests/bench/row.h"
#include "tests/integration/wait_for.h"

namespace prefork::bench {
namespace {

constexpr double kNsPerMs = 1e6;
constexpr int kForksPerRound = 20;

// What a process costs on this machine at least.
absl::StatusOr<double> SpawnTrueMs() {
  std::vector<double> times;
  for (int i = 0; i < kForksPerRound; ++i) {
    const double start = NowNs();
    const absl::StatusOr<os::Pidfd> child = os::Spawn({.argv = {"/bin/true"}});
    if (!child.ok()) return child.status();
    if (auto exit = child->Reap(/*wait=*/true); !exit.ok()) return exit.status();
    times.push_back((NowNs() - start) / kNsPerMs);
  }
  return Median(std::move(times));
}

absl::StatusOr<double> TaskMs(client::Client& client, const client::TaskSpec& spec) {
  const double start = NowNs();
  if (absl::Status ran = RunOne(client, spec); !ran.ok()) return ran;
  return (NowNs() - start) / kNsPerMs;
}

// Kills the pool's only worker and submits at once.
absl::StatusOr<double> RespawnMs(client::Client& client) {
  const client::TaskSpec noop{.pool = kPool, .function = "noop"};
  if (absl::Status ran = RunOne(client, noop); !ran.ok()) return ran;
  const absl::StatusOr<v1::ListWorkersResponse> workers = client.api().ListWorkers(kPool);
  if (!workers.ok()) return workers.status();
  if (workers->workers_size() != 1) return absl::InternalError("the pool has not one worker");
  const v1::Worker& worker = workers->workers(0);
  const double start = NowNs();
  if (kill(worker.pid(), SIGKILL) != 0) return absl::InternalError("the worker can't be killed");
  // A task that the dead worker had taken would fail: only the time until one succeeds counts.
  absl::Status last;
  if (!testing::WaitFor([&] { return (last = RunOne(client, noop)).ok(); })) return last;
  return (NowNs() - start) / kNsPerMs;
}

}  // namespace

absl::StatusOr<std::vector<Round>> MeasureWorkerFork(int rounds) {
  auto daemon = StartDaemon(1);
  if (!daemon.ok()) return daemon.status();
  auto client = Connect(**daemon);
  if (!client.ok()) return client.status();
  const client::TaskSpec dedicated{.pool = kPool, .function = "noop", .dedicated = true};
  std::vector<Round> all;
  for (int i = 0; i < rounds; ++i) {
    std::vector<double> times;
    for (int j = 0; j < kForksPerRound; ++j) {
      const absl::StatusOr<double> time = TaskMs(*client, dedicated);
      if (!time.ok()) return time.status();
      times.push_back(*time);
    }
    const auto reference = SpawnTrueMs();
    if (!reference.ok()) return reference.status();
    all.push_back({Median(std::move(times)), *reference});
  }
  return all;
}

absl::StatusOr<std::vector<Round>> MeasureWorkerRespawn(int rounds) {
  auto daemon = StartDaemon(1);
  if (!daemon.ok()) return daemon.status();
  auto client = Connect(**daemon);
  if (!client.ok()) return client.status();
  std::vector<Round> all;
  for (int i = 0; i < rounds; ++i) {
    const auto value = RespawnMs(*client);
    if (!value.ok()) return value.status();
    const auto reference = SpawnTrueMs();
    if (!reference.ok()) return reference.status();
    all.push_back({*value, *reference});
  }
  return all;
}

}  // namespace prefork::bench
