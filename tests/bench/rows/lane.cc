// The lane alone, between two processes; the measuring itself is in lane_bench.cc.
#include "tests/bench/lane_bench.h"
#include "tests/bench/row.h"

namespace prefork::bench {
namespace {

constexpr uint64_t kManyTasks = 2'000'000;
constexpr uint64_t kRoundTrips = 20'000;
constexpr double kNsPerUs = 1000;

}  // namespace

absl::StatusOr<std::vector<Round>> MeasureLaneThroughputRow(int rounds) {
  std::vector<Round> all;
  for (int i = 0; i < rounds; ++i) {
    const auto lane = MeasureLaneThroughput({.tasks = kManyTasks});
    if (!lane.ok()) return lane.status();
    const auto futex = MeasureFutexPingPong(kRoundTrips);
    if (!futex.ok()) return futex.status();
    all.push_back({lane->tasks_per_second, futex->tasks_per_second});
  }
  return all;
}

absl::StatusOr<std::vector<Round>> MeasureLaneRoundTripRow(int rounds) {
  std::vector<Round> all;
  for (int i = 0; i < rounds; ++i) {
    const auto lane = MeasureLaneRoundTrip({.tasks = kRoundTrips});
    if (!lane.ok()) return lane.status();
    const auto futex = MeasureFutexPingPong(kRoundTrips);
    if (!futex.ok()) return futex.status();
    all.push_back({lane->p50_ns / kNsPerUs, futex->p50_ns / kNsPerUs});
  }
  return all;
}

}  // namespace prefork::bench
