#ifndef PREFORK_TESTS_BENCH_LANE_BENCH_H_
#define PREFORK_TESTS_BENCH_LANE_BENCH_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"

// Measures a lane between two processes, without daemon, gRPC and scheduler: this process plays the
// engine, a forked child the worker that answers no-op tasks. Call them while this process has one
// thread.
namespace prefork::bench {

struct LaneBenchOptions {
  uint64_t tasks = 1'000'000;
  size_t max_in_flight = 512;  // as deep as the scheduler fills a lane
  int64_t spin_ns = 0;         // how long each side looks before it sleeps
};

struct LaneBenchResult {
  double tasks_per_second = 0;
  double p50_ns = 0;  // of a round trip; only measured with one task in flight
  double p99_ns = 0;
  uint64_t engine_sleeps = 0;  // how often the engine's side went to sleep
};

// Keeps up to `max_in_flight` tasks in the lane until all are answered.
absl::StatusOr<LaneBenchResult> MeasureLaneThroughput(const LaneBenchOptions& options);

// Sends one task at a time.
absl::StatusOr<LaneBenchResult> MeasureLaneRoundTrip(const LaneBenchOptions& options);

// What the machine can do: two processes that wake each other by futex, nothing else.
absl::StatusOr<LaneBenchResult> MeasureFutexPingPong(uint64_t round_trips);

}  // namespace prefork::bench

#endif  // PREFORK_TESTS_BENCH_LANE_BENCH_H_
