// Many no-op tasks in flight on one session, against as many in the same batches on a bare gRPC stream.
#include "absl/time/time.h"
#include "tests/bench/bench_daemon.h"
#include "tests/bench/echo_client.h"
#include "tests/bench/row.h"

namespace prefork::bench {
namespace {

constexpr uint64_t kTasks = 500'000;
constexpr uint64_t kWarmUpTasks = 100'000;
constexpr uint64_t kBatch = 1000;       // as the client library batches
constexpr uint64_t kInFlight = 65'536;  // its default

absl::StatusOr<double> TasksPerSecond(client::Client& client, uint64_t tasks) {
  absl::StatusOr<client::Client::Template> noop =
      client.Prepare({.pool = kPool, .function = "noop"});
  if (!noop.ok()) return noop.status();
  const double start = NowNs();
  for (uint64_t i = 0; i < tasks; ++i) {
    const absl::StatusOr<client::TaskHandle> task = noop->Submit("");
    if (!task.ok()) return task.status();
  }
  if (absl::Status done = client.WaitAll(absl::Minutes(2)); !done.ok()) return done;
  return static_cast<double>(tasks) * 1e9 / (NowNs() - start);
}

}  // namespace

absl::StatusOr<std::vector<Round>> MeasureThroughputNoop(int rounds) {
  auto daemon = StartDaemon(2);
  if (!daemon.ok()) return daemon.status();
  auto client = Connect(**daemon);
  if (!client.ok()) return client.status();
  auto echo = EchoPeer::Start();
  if (!echo.ok()) return echo.status();
  if (auto warm_up = TasksPerSecond(*client, kWarmUpTasks); !warm_up.ok()) return warm_up.status();

  std::vector<Round> all;
  for (int i = 0; i < rounds; ++i) {
    const auto value = TasksPerSecond(*client, kTasks);
    if (!value.ok()) return value.status();
    const auto reference = (*echo)->Throughput(kTasks, kBatch, kInFlight);
    if (!reference.ok()) return reference.status();
    all.push_back({*value, *reference});
  }
  return all;
}

}  // namespace prefork::bench
