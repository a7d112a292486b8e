// Everything at once: two hundred thousand tasks of every kind while a random worker is SIGKILLed
// every 20 ms. Each task ends once, with a cause that is true, and at the end everything is whole.
#include <signal.h>

#include <atomic>
#include <cstdlib>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "tests/fault/fault_bed.h"

namespace prefork::fault {
namespace {

using client::EndCause;
using client::TaskHandle;
using client::TaskResult;
using client::TaskState;

constexpr absl::Duration kBetweenKills = absl::Milliseconds(20);
constexpr absl::Duration kWholeRun = absl::Minutes(10);

int TaskCount() {
  int count = 200'000;
  if (const char* text = std::getenv("PREFORK_STRESS_TASKS"); text != nullptr) {
    EXPECT_TRUE(absl::SimpleAtoi(text, &count)) << "PREFORK_STRESS_TASKS=" << text;
  }
  return count;
}

// Kills a random worker at each tick until it is stopped.
class Killer {
 public:
  explicit Killer(FaultBed& bed) : bed_(bed), thread_([this] { Run(); }) {}
  ~Killer() { Stop(); }
  void Stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  int kills() const { return kills_; }

 private:
  void Run() {
    auto client = bed_.Connect();
    std::minstd_rand random(4711);
    for (absl::Time next = absl::Now(); !stop_; next += kBetweenKills) {
      absl::SleepFor(next - absl::Now());  // the rhythm is what is tested
      const auto all = client->api().ListWorkers("p");
      if (!all.ok() || all->workers().empty()) continue;
      const v1::Worker& worker = all->workers(random() % all->workers_size());
      v1::SignalWorkerRequest request;
      request.set_pool("p");
      request.set_index(worker.index());
      request.set_generation(worker.generation());
      request.set_signal(SIGKILL);
      // By the daemon, which knows whom the name means: a pid may be someone else's by now.
      if (client->api().SignalWorker(request).ok()) ++kills_;
    }
  }

  FaultBed& bed_;
  std::atomic<bool> stop_ = false;
  std::atomic<int> kills_ = 0;
  std::thread thread_;
};

enum Kind { kEcho, kError, kCrash, kTimeout, kCancel, kLarge, kRetry, kKinds };

// Mostly small ones; every other kind one in a few hundred.
Kind KindOf(int i) {
  switch (i % 400) {
    case 17:
      return kError;
    case 50:
      return kCrash;
    case 111:
      return kTimeout;
    case 171:
    case 172:
      return kCancel;
    case 222:
      return kLarge;
    case 333:
      return kRetry;
    default:
      return kEcho;
  }
}

client::TaskSpec SpecOf(Kind kind, int i) {
  client::TaskSpec spec{.pool = "p", .function = "echo", .payload = absl::StrCat(i)};
  switch (kind) {
    case kEcho:
    case kKinds:
      break;
    case kError:
      spec.function = "fail";
      break;
    case kCrash:
      spec.function = "abort";
      break;
    case kTimeout:
      spec.function = "hang";
      spec.timeout = absl::Milliseconds(5);
      spec.grace = absl::ZeroDuration();
      break;
    case kCancel:
      spec.function = i % 2 == 0 ? "hang" : "ignore_term";
      spec.grace = absl::Milliseconds(5);
      break;
    case kLarge:
      spec.payload = std::string(100'000, static_cast<char>('a' + i % 26));
      break;
    case kRetry:
      spec.function = "attempt";
      spec.retry = {.max_attempts = 20, .backoff = absl::Milliseconds(1)};
      break;
  }
  return spec;
}

// A worker may have been killed under any task; otherwise each kind has the one end that it must.
void Check(Kind kind, const client::TaskSpec& spec, const TaskResult& result) {
  const bool was_shot = result.state == TaskState::kCrashed;
  if (was_shot) {
    ASSERT_NE(result.exit_report, nullptr);
    ASSERT_EQ(result.exit_report->cause, EndCause::kWorkerDied) << Describe(result);
    ASSERT_TRUE(result.exit_report->signal == SIGKILL ||
                (kind == kCrash && result.exit_report->signal == SIGABRT))
        << Describe(result);
    return;
  }
  switch (kind) {
    case kEcho:
    case kLarge:
      ASSERT_TRUE(result.ok()) << Describe(result);
      ASSERT_EQ(result.value, spec.payload);
      break;
    case kRetry:
      ASSERT_TRUE(result.ok()) << Describe(result);
      break;
    case kError:
      ASSERT_EQ(result.state, TaskState::kFailed) << Describe(result);
      ASSERT_EQ(result.error, spec.payload);
      break;
    case kTimeout:
      ExpectEnd(result, TaskState::kTimedOut, EndCause::kTimeout);
      break;
    case kCancel:
      ExpectEnd(result, TaskState::kCancelled, EndCause::kCancelledByClient);
      break;
    case kCrash:
    case kKinds:
      FAIL() << Describe(result);
  }
}

TEST(StressTest, EveryTaskEndsOnceWhateverIsKilled) {
  const int count = TaskCount();
  FaultBed bed({.config = "[limits]\nwarm_segments = \"0\"\n" + MisbehavingPool("p", 4)});
  std::vector<std::atomic<int>> ends(count);
  std::vector<TaskHandle> tasks;
  tasks.reserve(count);
  {
    Killer killer(bed);
    for (int i = 0; i < count; ++i) {
      const Kind kind = KindOf(i);
      auto task = bed.client().Submit(
          SpecOf(kind, i),
          {.on_done = [&ends, i](const TaskHandle&, const absl::StatusOr<TaskResult>&) {
            ++ends[i];
          }});
      ASSERT_TRUE(task.ok()) << task.status();
      if (kind == kCancel) task->Cancel(/*force=*/i % 4 == 0);
      tasks.push_back(*std::move(task));
    }
    const absl::Status all = bed.client().WaitAll(kWholeRun);
    ASSERT_TRUE(all.ok()) << all << bed.daemon().Log();
    killer.Stop();
    EXPECT_GT(killer.kills(), 0);
  }
  std::map<TaskState, int> states;
  for (int i = 0; i < count; ++i) {
    const TaskResult result = FaultBed::End(tasks[i]);
    ++states[result.state];
    Check(KindOf(i), SpecOf(KindOf(i), i), result);
    if (HasFatalFailure()) break;
    ASSERT_EQ(ends[i], 1) << "task " << i;
  }
  for (const auto& [state, number] : states) {
    RecordProperty(std::string(client::TaskStateName(state)), number);
  }
  // Kept tasks hold the segments of their payloads, and those are descriptors.
  v1::DeleteTaskRequest all_of_them;
  all_of_them.mutable_filter()->set_pool("p");
  const absl::StatusOr<uint64_t> deleted = bed.api().DeleteTasks(all_of_them);
  EXPECT_TRUE(deleted.ok()) << deleted.status();
}

}  // namespace
}  // namespace prefork::fault
