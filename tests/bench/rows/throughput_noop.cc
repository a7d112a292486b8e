// Many no-op tasks in flight on one session, against the same messages on a bare gRPC stream.
//
// A no-op returns its integer, as in the measurements of other task queues that this one is compared
// with: eight bytes there and back. What passes in a session is, task by task,
//
//   SubmitItem {tag, payload}  ->  TaskEvent {task_id, tag, finished {state, value, value_bytes}}
//
// with the pool and the function once a batch. The reference builds, sends, parses and answers these
// messages through the generated classes, reusing its message objects, in full batches both ways, and
// does nothing else: no client library, no scheduler, no lane, no worker. So it is the most that gRPC
// leaves room for. A session comes near to such batches by itself: the client writes what has gathered
// while the transport was busy, and the daemon what has ended since its last write.
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
      client.Prepare({.pool = kPool, .function = kNoop});
  if (!noop.ok()) return noop.status();
  const double start = NowNs();
  for (uint64_t i = 0; i < tasks; ++i) {
    const absl::StatusOr<client::TaskHandle> task =
        noop->Submit({reinterpret_cast<const char*>(&i), sizeof(i)});
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
