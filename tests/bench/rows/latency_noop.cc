// One no-op task in flight, against the same message in flight on a bare gRPC stream. For the messages
// see throughput_noop.cc.
#include "tests/bench/bench_daemon.h"
#include "tests/bench/echo_client.h"
#include "tests/bench/row.h"

namespace prefork::bench {
namespace {

constexpr uint64_t kTasks = 3000;
constexpr double kNsPerUs = 1000;

absl::StatusOr<double> MedianTaskNs(const client::Client::Template& noop) {
  std::vector<double> times;
  times.reserve(kTasks);
  for (uint64_t i = 0; i < kTasks; ++i) {
    const double start = NowNs();
    const absl::StatusOr<client::TaskHandle> task =
        noop.Submit({reinterpret_cast<const char*>(&i), sizeof(i)});
    if (!task.ok()) return task.status();
    const absl::StatusOr<client::TaskResult> result = task->Get();
    if (!result.ok()) return result.status();
    times.push_back(NowNs() - start);
  }
  return Median(std::move(times));
}

}  // namespace

absl::StatusOr<std::vector<Round>> MeasureLatencyNoop(int rounds) {
  auto daemon = StartDaemon(2);
  if (!daemon.ok()) return daemon.status();
  auto client = Connect(**daemon);
  if (!client.ok()) return client.status();
  auto noop = client->Prepare({.pool = kPool, .function = kNoop});
  if (!noop.ok()) return noop.status();
  auto echo = EchoPeer::Start();
  if (!echo.ok()) return echo.status();
  if (auto warm_up = MedianTaskNs(*noop); !warm_up.ok()) return warm_up.status();

  std::vector<Round> all;
  for (int i = 0; i < rounds; ++i) {
    const auto value = MedianTaskNs(*noop);
    if (!value.ok()) return value.status();
    auto reference = (*echo)->RoundTripsNs(kTasks);
    if (!reference.ok()) return reference.status();
    all.push_back({*value / kNsPerUs, Median(*std::move(reference)) / kNsPerUs});
  }
  return all;
}

}  // namespace prefork::bench
