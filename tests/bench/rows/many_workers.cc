// Does the cost of workers grow linearly? From the daemon's start until every one of N workers has run a task.
#include "tests/bench/bench_daemon.h"
#include "tests/bench/row.h"

namespace prefork::bench {
namespace {

constexpr int kMany = 500;
constexpr int kFew = 50;
constexpr double kNsPerMs = 1e6;

absl::StatusOr<double> MsPerWorker(int workers) {
  const double start = NowNs();
  auto daemon = StartDaemon(workers);
  if (!daemon.ok()) return daemon.status();
  auto client = Connect(**daemon);
  if (!client.ok()) return client.status();
  // Each task holds its worker until all have one.
  auto hold = client->Prepare({.pool = kPool, .function = "sleep_ms"});
  if (!hold.ok()) return hold.status();
  std::vector<client::TaskHandle> tasks;
  for (int i = 0; i < workers; ++i) {
    auto task = hold->Submit("1");
    if (!task.ok()) return task.status();
    tasks.push_back(*std::move(task));
  }
  for (const client::TaskHandle& task : tasks) {
    const auto result = task.Get();
    if (!result.ok()) return result.status();
    if (absl::Status ended = client::ToStatus(*result); !ended.ok()) return ended;
  }
  return (NowNs() - start) / kNsPerMs / workers;
}

}  // namespace

absl::StatusOr<std::vector<Round>> MeasureManyWorkers(int rounds) {
  std::vector<Round> all;
  for (int i = 0; i < rounds; ++i) {
    const auto value = MsPerWorker(kMany);
    if (!value.ok()) return value.status();
    const auto reference = MsPerWorker(kFew);
    if (!reference.ok()) return reference.status();
    all.push_back({*value, *reference});
  }
  return all;
}

}  // namespace prefork::bench
