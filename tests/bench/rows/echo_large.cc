// Large bytes to a native worker and back, against a memcpy of as many.
//
// `echo_1mib` and `echo_100mib` give the payload as a string and take the value as a view: the copy
// into a segment and the worker's own copy are all that is copied. `echo_100mib_in_place` has the
// payload in a segment for good, as an argument of many tasks is.
#include <cstring>
#include <string>

#include "absl/time/time.h"
#include "tests/bench/bench_daemon.h"
#include "tests/bench/row.h"

namespace prefork::bench {
namespace {

constexpr size_t kMiB = size_t{1} << 20;
constexpr double kNsPerUs = 1000;

struct Load {
  size_t bytes;
  int tasks;  // in a round
  bool in_place;
};

double MemcpyNs(const std::string& from, int times) {
  std::string to(from.size(), '\0');
  std::vector<double> all;
  for (int i = 0; i < times; ++i) {
    const double start = NowNs();
    std::memcpy(to.data(), from.data(), from.size());
    all.push_back(NowNs() - start);
  }
  return Median(std::move(all));
}

absl::StatusOr<double> EchoNs(client::Client& client, const client::TaskSpec& spec, size_t bytes,
                              int tasks) {
  std::vector<double> all;
  for (int i = 0; i < tasks; ++i) {
    const double start = NowNs();
    const absl::StatusOr<client::TaskHandle> task = client.Submit(spec);
    if (!task.ok()) return task.status();
    const absl::StatusOr<client::TaskResult> result = task->Get();
    if (!result.ok()) return result.status();
    all.push_back(NowNs() - start);
    if (result->value_view().size() != bytes) return absl::DataLossError("another value came back");
  }
  return Median(std::move(all));
}

absl::StatusOr<std::vector<Round>> Measure(int rounds, const Load& load) {
  auto daemon = StartDaemon(1);
  if (!daemon.ok()) return daemon.status();
  auto client = client::Client::Connect({.address = (*daemon)->address(), .map_values = true});
  if (!client.ok()) return client.status();
  const std::string payload(load.bytes, 'x');
  client::TaskSpec spec{.pool = kPool, .function = "echo", .result_ttl = absl::ZeroDuration()};
  if (load.in_place) {
    const auto segment = client->AllocateSegment(load.bytes);
    if (!segment.ok()) return segment.status();
    std::memcpy((*segment)->bytes().data(), payload.data(), load.bytes);
    spec.payload_segment = {*segment, 0, load.bytes};
  } else {
    spec.payload = payload;
  }
  if (auto warm_up = EchoNs(*client, spec, load.bytes, load.tasks); !warm_up.ok()) {
    return warm_up.status();
  }
  std::vector<Round> all;
  for (int i = 0; i < rounds; ++i) {
    const auto value = EchoNs(*client, spec, load.bytes, load.tasks);
    if (!value.ok()) return value.status();
    all.push_back({*value / kNsPerUs, MemcpyNs(payload, load.tasks) / kNsPerUs});
  }
  return all;
}

}  // namespace

absl::StatusOr<std::vector<Round>> MeasureEchoMebibyte(int rounds) {
  return Measure(rounds, {.bytes = kMiB, .tasks = 1000, .in_place = false});
}

absl::StatusOr<std::vector<Round>> MeasureEchoHundredMebibytes(int rounds) {
  return Measure(rounds, {.bytes = 100 * kMiB, .tasks = 10, .in_place = false});
}

absl::StatusOr<std::vector<Round>> MeasureEchoInPlace(int rounds) {
  return Measure(rounds, {.bytes = 100 * kMiB, .tasks = 10, .in_place = true});
}

}  // namespace prefork::bench
