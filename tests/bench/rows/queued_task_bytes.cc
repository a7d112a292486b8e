// A million small tasks wait in a paused pool; how much has the daemon grown for each?
#include "prefork/api.h"
#include "prefork/v1/task_service.pb.h"
#include "tests/bench/bench_daemon.h"
#include "tests/bench/row.h"
#include "tests/integration/wait_for.h"

namespace prefork::bench {
namespace {

constexpr uint64_t kTasks = 1'000'000;
constexpr char kPayload[] = "sixteen bytes...";

double BytesOnTheWire() {
  v1::SessionRequest request;
  constexpr uint64_t kItems = 1000;
  for (uint64_t tag = 0; tag < kItems; ++tag) {
    v1::SubmitItem* item = request.mutable_submit()->add_items();
    item->set_tag(kTasks + tag);
    item->set_payload(kPayload);
  }
  return static_cast<double>(request.ByteSizeLong()) / kItems;
}

absl::StatusOr<double> BytesPerTask() {
  auto daemon = StartDaemon(1, "max_queued_tasks = 2000000", "[limits]\nsession_tasks = 2000000\n");
  if (!daemon.ok()) return daemon.status();
  auto client = client::Client::Connect(
      {.address = (*daemon)->address(), .autostart = false, .max_in_flight = 2 * kTasks});
  if (!client.ok()) return client.status();
  if (auto paused = client->api().PausePool(kPool); !paused.ok()) return paused.status();
  const auto before = RssBytes((*daemon)->pid());
  if (!before.ok()) return before.status();
  auto noop = client->Prepare({.pool = kPool, .function = "noop"});
  if (!noop.ok()) return noop.status();
  for (uint64_t i = 0; i < kTasks; ++i) {
    const auto task = noop->Submit(kPayload);
    if (!task.ok()) return task.status();
  }
  absl::Status last = absl::DeadlineExceededError("the daemon has not accepted a million tasks");
  const bool accepted = testing::WaitFor(
      [&] {
        const auto status = client->api().GetStatus();
        if (!status.ok()) last = status.status();
        return status.ok() && status->tasks_unfinished() >= kTasks;
      },
      absl::Minutes(2));
  if (!accepted) return last;
  const auto after = RssBytes((*daemon)->pid());
  if (!after.ok()) return after.status();
  return (*after - *before) / static_cast<double>(kTasks);
}

}  // namespace

absl::StatusOr<std::vector<Round>> MeasureQueuedTaskBytes(int rounds) {
  const double reference = BytesOnTheWire();
  std::vector<Round> all;
  for (int i = 0; i < rounds; ++i) {
    const auto value = BytesPerTask();
    if (!value.ok()) return value.status();
    all.push_back({*value, reference});
  }
  return all;
}

}  // namespace prefork::bench
