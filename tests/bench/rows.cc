#include <algorithm>
#include <array>

#include "common/os/clock.h"
#include "tests/bench/row.h"

namespace prefork::bench {

std::span<const Row> AllRows() {
  static constexpr std::array<Row, 25> kRows = {{
      // First, because they fork and so want a process without gRPC's threads.
      {"lane_throughput", "tasks/s", "engine, lane, worker, lane, engine; no gRPC",
       "futex round trips per second", MeasureLaneThroughputRow},
      {"lane_roundtrip_p50", "us", "the same, one task in flight", "futex ping-pong",
       MeasureLaneRoundTripRow},
      {"throughput_noop", "tasks/s", "no-op native tasks, one session, two workers",
       "bare gRPC stream, batches of as many tasks", MeasureThroughputNoop},
      {"latency_noop_p50", "us", "the same, one task in flight",
       "bare gRPC stream, one message in flight", MeasureLatencyNoop},
      {"echo_1mib", "us", "1 MiB there and back, one task in flight", "memcpy of 1 MiB",
       MeasureEchoMebibyte},
      {"echo_100mib", "us", "100 MiB there and back", "memcpy of 100 MiB",
       MeasureEchoHundredMebibytes},
      {"echo_100mib_in_place", "us", "the same, the payload kept in a segment", "memcpy of 100 MiB",
       MeasureEchoInPlace},
      {"worker_fork", "ms", "dedicated no-op task: fork from the zygote, run, answer",
       "posix_spawn and wait of /bin/true", MeasureWorkerFork},
      {"worker_respawn", "ms", "SIGKILL of the only worker until its successor has answered",
       "posix_spawn and wait of /bin/true", MeasureWorkerRespawn},
      {"idle_wakeups", "1/s", "context switches of all threads of an idle daemon",
       "an idle bare gRPC server", MeasureIdleWakeups},
      {"daemon_rss_idle", "MB", "resident set of an idle daemon", "an idle bare gRPC server",
       MeasureDaemonRss},
      {"worker_pss_idle", "MB", "proportional set of an idle native worker", "/bin/sleep",
       MeasureWorkerPss},
      {"queued_task_bytes", "bytes", "growth of the daemon for each of a million queued tasks",
       "the task on the wire", MeasureQueuedTaskBytes},
      {"many_workers", "ms/worker", "daemon with 500 workers: start until each has run a task",
       "with 50 workers", MeasureManyWorkers},
      {"many_sessions", "ms/session",
       "500 sessions opened, each running a task; 100,000 finished tasks kept", "50 sessions",
       MeasureManySessions},
      {"py_submit", "tasks/s", "Python no-ops submitted, then their results; two workers",
       "ProcessPoolExecutor", [](int rounds) { return MeasureInPython("py_submit", rounds); }},
      {"py_map", "tasks/s", "map of Python no-ops", "Pool.map(chunksize=1)",
       [](int rounds) { return MeasureInPython("py_map", rounds); }},
      {"py_map_chunk100", "tasks/s", "the same in chunks of 100",
       "Pool.imap_unordered(chunksize=100)",
       [](int rounds) { return MeasureInPython("py_map_chunk100", rounds); }},
      {"py_latency_p50", "us", "a Python no-op, one in flight", "ProcessPoolExecutor",
       [](int rounds) { return MeasureInPython("py_latency_p50", rounds); }},
      {"py_echo_1mib", "us", "1 MiB of bytes to Python and back, one in flight", "Pool.apply",
       [](int rounds) { return MeasureInPython("py_echo_1mib", rounds); }},
      {"py_echo_100mib", "ms", "a numpy array of 100 MiB there and back", "Pool.apply",
       [](int rounds) { return MeasureInPython("py_echo_100mib", rounds); }},
      {"py_square_sum", "ms", "square sum of 10 million float64 in 8 chunks", "Pool.map",
       [](int rounds) { return MeasureInPython("py_square_sum", rounds); }},
      {"py_warm_start", "ms", "a new script until its first result, workers warm",
       "bare interpreter start",
       [](int rounds) { return MeasureInPython("py_warm_start", rounds); }},
      {"py_cold_start", "ms", "the same when no daemon runs", "bare interpreter start",
       [](int rounds) { return MeasureInPython("py_cold_start", rounds); }},
      {"py_pss_8_workers", "MB", "proportional set of 8 Python workers with numpy",
       "one such worker alone",
       [](int rounds) { return MeasureInPython("py_pss_8_workers", rounds); }},
  }};
  return kRows;
}

double NowNs() { return static_cast<double>(os::Clock::System()->MonotonicNs()); }

double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  if (values.size() % 2 == 1) return values[middle];
  return (values[middle - 1] + values[middle]) / 2;
}

}  // namespace prefork::bench
