// A task that is stopped takes everything along that it has started: children, grandchildren that
// left its session, those that ignore SIGTERM, those whose parent is gone. And nothing else.
#include <signal.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "tests/fault/fault_bed.h"

namespace prefork::fault {
namespace {

using client::EndCause;
using client::TaskEvent;
using client::TaskHandle;
using client::TaskResult;
using client::TaskState;

constexpr absl::Duration kGrace = absl::Milliseconds(100);
// From the end of the grace on; milliseconds, were the machine not shared with other tests.
constexpr absl::Duration kSlack = absl::Seconds(3);

// The numbers that a task has emitted or printed.
class Pids {
 public:
  client::SubmitOptions Listen() {
    return {.on_event = [this](const TaskHandle&, const TaskEvent& event) {
      const absl::MutexLock lock(&mu_);
      if (const auto* partial = std::get_if<client::PartialValue>(&event)) {
        text_ += partial->value + "\n";
      } else if (const auto* output = std::get_if<client::OutputWritten>(&event)) {
        text_ += output->data;
      }
    }};
  }
  // Waits until there are `count`.
  std::vector<pid_t> Wait(size_t count) {
    std::vector<pid_t> pids;
    EXPECT_TRUE(testing::WaitFor(
        [&] {
          pids = Parse();
          return pids.size() == count;
        },
        kPatience));
    return pids;
  }

 private:
  std::vector<pid_t> Parse() {
    const absl::MutexLock lock(&mu_);
    std::vector<pid_t> pids;
    std::vector<std::string> lines = absl::StrSplit(text_, '\n');
    lines.pop_back();  // not ended by a line feed: maybe not whole
    for (const std::string& line : lines) {
      pid_t pid = 0;
      if (absl::SimpleAtoi(line, &pid)) pids.push_back(pid);
    }
    return pids;
  }

  absl::Mutex mu_;
  std::string text_ ABSL_GUARDED_BY(mu_);
};

class ProcessTreeTest : public ::testing::Test {
 protected:
  FaultBed bed_{{.config = MisbehavingPool("native", 2) + CommandPool("command", 2)},
                {.output = true, .progress = true}};
  Pids pids_;

  // A shell that prints its own pid and those of two stubborn descendants: one in a session of its
  // own, and one whose parent has ended.
  client::TaskSpec StubbornCommand() {
    return {.pool = "command",
            .command = client::Command{.argv = {"sh", "-c",
                                                "trap '' TERM; echo $$;"
                                                "setsid sleep 1000 & echo $!;"
                                                "(sleep 1000 & echo $!);"
                                                "wait; sleep 1000"}},
            .grace = kGrace};
  }
  client::TaskSpec StubbornFunction() {
    return {.pool = "native", .function = "orphan_and_hang", .grace = kGrace};
  }

  // Runs `spec` until it has told `count` pids, has it stopped by `stop` and expects that all of
  // them are gone in time while a neighbour in the same pool goes on.
  TaskResult EndOf(const client::TaskSpec& spec, size_t count,
                   const std::function<void(const TaskHandle&)>& stop) {
    client::TaskSpec neighbour_spec = spec;
    neighbour_spec.timeout.reset();
    Pids neighbour_pids;
    const TaskHandle neighbour = bed_.Submit(neighbour_spec, neighbour_pids.Listen());
    const std::vector<pid_t> neighbours = neighbour_pids.Wait(count);
    const TaskHandle task = bed_.Submit(spec, pids_.Listen());
    const std::vector<pid_t> pids = pids_.Wait(count);
    const absl::Time asked = absl::Now();
    stop(task);
    TaskResult result = FaultBed::End(task);
    // The end is told when the tree is gone, not before.
    for (const pid_t pid : pids) EXPECT_FALSE(IsAlive(pid)) << pid;
    EXPECT_LT(absl::Now() - asked, kGrace + spec.timeout.value_or(absl::ZeroDuration()) + kSlack);
    for (const pid_t pid : neighbours) EXPECT_TRUE(IsAlive(pid)) << pid;
    EXPECT_FALSE(neighbour.done());
    neighbour.Cancel(/*force=*/true);
    ExpectEnd(FaultBed::End(neighbour), TaskState::kCancelled, EndCause::kCancelledByClient);
    for (const pid_t pid : neighbours) EXPECT_FALSE(IsAlive(pid)) << pid;
    return result;
  }
};

TEST_F(ProcessTreeTest, CancelEndsAFunctionsTree) {
  ExpectEnd(EndOf(StubbornFunction(), 1, [](const TaskHandle& task) { task.Cancel(); }),
            TaskState::kCancelled, EndCause::kCancelledByClient);
}

TEST_F(ProcessTreeTest, ForcedCancelEndsAFunctionsTree) {
  ExpectEnd(EndOf(StubbornFunction(), 1, [](const TaskHandle& task) { task.Cancel(true); }),
            TaskState::kCancelled, EndCause::kCancelledByClient);
}

TEST_F(ProcessTreeTest, TimeoutEndsAFunctionsTree) {
  client::TaskSpec spec = StubbornFunction();
  spec.timeout = absl::Milliseconds(300);
  ExpectEnd(EndOf(spec, 1, [](const TaskHandle&) {}), TaskState::kTimedOut, EndCause::kTimeout);
}

TEST_F(ProcessTreeTest, CancelEndsACommandsTree) {
  ExpectEnd(EndOf(StubbornCommand(), 3, [](const TaskHandle& task) { task.Cancel(); }),
            TaskState::kCancelled, EndCause::kCancelledByClient);
}

TEST_F(ProcessTreeTest, ForcedCancelEndsACommandsTree) {
  ExpectEnd(EndOf(StubbornCommand(), 3, [](const TaskHandle& task) { task.Cancel(true); }),
            TaskState::kCancelled, EndCause::kCancelledByClient);
}

TEST_F(ProcessTreeTest, TimeoutEndsACommandsTree) {
  client::TaskSpec spec = StubbornCommand();
  spec.timeout = absl::Milliseconds(500);
  ExpectEnd(EndOf(spec, 3, [](const TaskHandle&) {}), TaskState::kTimedOut, EndCause::kTimeout);
}

TEST_F(ProcessTreeTest, CancelEndsADedicatedTree) {
  client::TaskSpec spec = StubbornFunction();
  spec.dedicated = true;
  ExpectEnd(EndOf(spec, 1, [](const TaskHandle& task) { task.Cancel(); }), TaskState::kCancelled,
            EndCause::kCancelledByClient);
}

TEST_F(ProcessTreeTest, ACrashTakesTheTreeAlong) {
  const TaskHandle task =
      bed_.Submit({.pool = "native", .function = "orphan_and_crash"}, pids_.Listen());
  const std::vector<pid_t> pids = pids_.Wait(1);
  ExpectEnd(FaultBed::End(task), TaskState::kCrashed, EndCause::kWorkerDied);
  EXPECT_FALSE(IsAlive(pids.at(0)));
}

TEST_F(ProcessTreeTest, TheCallReturnsWhenTheTreeIsGone) {
  const TaskHandle task = bed_.Submit(StubbornCommand(), pids_.Listen());
  const std::vector<pid_t> pids = pids_.Wait(3);
  const absl::StatusOr<v1::Task> cancelled = bed_.api().CancelTask(task.id(), /*force=*/false);
  ASSERT_TRUE(cancelled.ok()) << cancelled.status();
  EXPECT_EQ(cancelled->state(), v1::TASK_STATE_CANCELLED);
  for (const pid_t pid : pids) EXPECT_FALSE(IsAlive(pid)) << pid;
}

}  // namespace
}  // namespace prefork::fault
