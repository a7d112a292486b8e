// Does the cost of sessions grow linearly? N clients connect and run a task each, while the daemon keeps 100,000
// finished tasks and all sessions stay open.
#include "prefork/api.h"
#include "tests/bench/bench_daemon.h"
#include "tests/bench/row.h"

namespace prefork::bench {
namespace {

constexpr int kMany = 500;
constexpr int kFew = 50;
constexpr uint64_t kFinished = 100'000;
constexpr double kNsPerMs = 1e6;

absl::Status FinishTasks(client::Client& client, uint64_t count) {
  auto noop = client.Prepare({.pool = kPool, .function = "noop"});
  if (!noop.ok()) return noop.status();
  for (uint64_t i = 0; i < count; ++i) {
    if (auto task = noop->Submit(""); !task.ok()) return task.status();
  }
  return client.WaitAll(absl::Minutes(2));
}

absl::StatusOr<double> MsPerSession(const testing::Daemon& daemon, int sessions) {
  std::vector<client::Client> clients;
  const double start = NowNs();
  for (int i = 0; i < sessions; ++i) {
    auto client = Connect(daemon);
    if (!client.ok()) return client.status();
    clients.push_back(*std::move(client));
  }
  std::vector<client::TaskHandle> tasks;
  for (client::Client& client : clients) {
    auto task = client.Submit({.pool = kPool, .function = "noop"});
    if (!task.ok()) return task.status();
    tasks.push_back(*std::move(task));
  }
  for (const client::TaskHandle& task : tasks) {
    const auto result = task.Get();
    if (!result.ok()) return result.status();
    if (absl::Status ended = client::ToStatus(*result); !ended.ok()) return ended;
  }
  return (NowNs() - start) / kNsPerMs / sessions;
}

}  // namespace

absl::StatusOr<std::vector<Round>> MeasureManySessions(int rounds) {
  auto daemon = StartDaemon(2, "", "[results]\nmax_tasks = 200000\n");
  if (!daemon.ok()) return daemon.status();
  auto client = Connect(**daemon);
  if (!client.ok()) return client.status();
  if (absl::Status finished = FinishTasks(*client, kFinished); !finished.ok()) return finished;
  const auto status = client->api().GetStatus();
  if (!status.ok()) return status.status();
  if (status->tasks_known() < kFinished) {
    return absl::InternalError("the daemon has not kept 100,000 finished tasks");
  }
  std::vector<Round> all;
  for (int i = 0; i < rounds; ++i) {
    const auto value = MsPerSession(**daemon, kMany);
    if (!value.ok()) return value.status();
    const auto reference = MsPerSession(**daemon, kFew);
    if (!reference.ok()) return reference.status();
    all.push_back({*value, *reference});
  }
  return all;
}

}  // namespace prefork::bench
