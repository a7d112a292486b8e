// A worker as a real process: what goes down its lane and what comes up.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/os/process_stats.h"
#include "common/os/process_tree.h"
#include "common/zygote/command_codec.h"
#include "tests/server/worker/worker_process_fixture.h"

namespace prefork::worker_testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

std::string Command(std::vector<std::string> argv) {
  zygote::CommandBlock command;
  command.argv = std::move(argv);
  return zygote::EncodeCommand(command);
}

std::string Pattern(size_t bytes) {
  std::string value(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) value[i] = static_cast<char>('a' + i % 26);
  return value;
}

class WorkerLoopTest : public WorkerProcessFixture {
 protected:
  // The exit that the zygote reports for the worker.
  int WaitStatus() {
    const absl::StatusOr<zygote::Exited> exited = daemon().Expect<zygote::Exited>();
    EXPECT_TRUE(exited.ok()) << exited.status();
    return exited.ok() ? exited->body.wait_status : -1;
  }
  // Runs a program as task 1 that sleeps for long, and returns its pid once it runs.
  pid_t StartSleeper() {
    EXPECT_TRUE(
        worker().Submit({{.id = 1, .payload = Command({"sh", "-c", "echo $$; exec sleep 1000"})}}));
    EXPECT_TRUE(worker().PumpUntil([&] { return !worker().output(1, 1).empty(); }));
    pid_t pid = 0;
    EXPECT_TRUE(absl::SimpleAtoi(worker().output(1, 1), &pid));
    return pid;
  }
};

TEST_F(WorkerLoopTest, TenThousandTasksComeBackOnceEachInOrderOfTheirPayload) {
  StartNative();
  constexpr uint64_t kTasks = 10'000;
  uint64_t next = 1;
  const bool all = worker().PumpUntil([&] {
    while (next <= kTasks && worker().Submit({{.id = next,
                                               .function = "echo",
                                               .payload = absl::StrCat("payload ", next),
                                               .content_type = "text/plain"}})) {
      ++next;
    }
    return worker().finished().size() == kTasks;
  });
  ASSERT_TRUE(all) << worker().finished().size() << " of them; " << worker().status();
  for (const auto& [id, task] : worker().finished()) {
    EXPECT_EQ(task.outcome(), shm::TaskOutcome::kSucceeded);
    EXPECT_EQ(task.value, absl::StrCat("payload ", id));
    EXPECT_EQ(task.content_type, "text/plain");
    EXPECT_LE(task.record.started_ns, task.record.finished_ns);
    EXPECT_EQ(task.record.cpu_ns, -1) << "not asked for";
  }
  EXPECT_TRUE(worker().started().empty());
}

TEST_F(WorkerLoopTest, AStartIsAnnouncedWhenAskedFor) {
  StartNative();
  ASSERT_TRUE(worker().Submit({{.id = 5, .function = "hang", .flags = shm::kTaskNotifyStart}}));
  ASSERT_TRUE(worker().PumpUntil([&] { return !worker().started().empty(); }));
  EXPECT_THAT(worker().started(), ElementsAre(5));
  EXPECT_EQ(worker().lane().status().running_task.load(), 5u);
}

TEST_F(WorkerLoopTest, AMeasuredTaskReportsItsOwnCost) {
  StartNative();
  const FinishedTask spun = worker().Run(
      {.id = 1, .function = "burn_us", .payload = "30000", .flags = shm::kTaskMeasure});
  EXPECT_GE(spun.record.cpu_ns, 29'000'000);
  const FinishedTask large = worker().Run(
      {.id = 2, .function = "allocate_mb", .payload = "64", .flags = shm::kTaskMeasure});
  EXPECT_GE(large.record.peak_rss_bytes, uint64_t{64} << 20);
  const FinishedTask small =
      worker().Run({.id = 3, .function = "noop", .flags = shm::kTaskMeasure});
  EXPECT_LT(small.record.cpu_ns, 15'000'000);
#if !defined(ABSL_HAVE_ADDRESS_SANITIZER)  // which keeps freed memory
  EXPECT_LT(small.record.peak_rss_bytes, uint64_t{64} << 20) << "the peak of another task";
#endif
}

TEST_F(WorkerLoopTest, ErrorsAreResultsAndTheWorkerGoesOn) {
  StartNative();
  EXPECT_EQ(worker().Run({.id = 1, .function = "throw", .payload = "oops"}).error, "oops");
  EXPECT_THAT(worker().Run({.id = 2, .function = "nonesuch"}).error,
              HasSubstr("no function 'nonesuch'"));
  EXPECT_EQ(worker().Run({.id = 3, .function = "echo", .payload = "on"}).value, "on");
}

TEST_F(WorkerLoopTest, AHugeErrorTextIsCutToFit) {
  StartNative();
  const std::string text(10'000, 'e');
  const FinishedTask task = worker().Run({.id = 1, .function = "fail", .payload = text});
  EXPECT_GT(task.error.size(), 1000u);
  EXPECT_EQ(task.error, text.substr(0, task.error.size()));
}

TEST_F(WorkerLoopTest, ACooperativeTaskSeesItsCancellationAndNoOther) {
  StartNative();
  ASSERT_TRUE(
      worker().Submit({{.id = 7, .function = "wait_cancelled", .flags = shm::kTaskNotifyStart}}));
  ASSERT_TRUE(worker().PumpUntil([&] { return !worker().started().empty(); }));
  worker().Cancel(8);
  EXPECT_FALSE(
      worker().PumpUntil([&] { return worker().finished().contains(7); }, absl::Milliseconds(20)));
  worker().Cancel(7);
  EXPECT_EQ(worker().WaitFinished(7).outcome(), shm::TaskOutcome::kCancelled);
}

TEST_F(WorkerLoopTest, PartialsAndProgressComeInOrderAndBeforeTheEnd) {
  StartNative();
  worker().Run({.id = 1, .function = "emit", .payload = "3"});
  EXPECT_THAT(worker().partials().at(1), ElementsAre("0", "1", "2"));
  ASSERT_THAT(worker().progress(), SizeIs(3));
  EXPECT_EQ(worker().progress().back().done, 3);
  EXPECT_EQ(worker().progress().back().total, 3);
  EXPECT_EQ(worker().progress().back().text, "emitted");
}

TEST_F(WorkerLoopTest, AFullUpQueueHoldsTheWorkerUntilThereIsRoom) {
  FakeDaemon::Options options;
  options.up_bytes = 4096;
  StartNative(false, options);
  // Far more than the queue holds, and nobody reads while it fills.
  ASSERT_TRUE(worker().Submit({{.id = 1, .function = "emit", .payload = "500"}}));
  const absl::Time deadline = absl::Now() + kPatience;
  const absl::StatusOr<os::ProcessStats> asleep = [&] {
    absl::StatusOr<os::ProcessStats> stats = os::ReadProcessStats(worker().pid());
    while (stats.ok() && stats->state != 'S' && absl::Now() < deadline) {
      stats = os::ReadProcessStats(worker().pid());
    }
    return stats;
  }();
  ASSERT_TRUE(asleep.ok());
  EXPECT_EQ(asleep->state, 'S') << "it waits without burning the CPU";
  EXPECT_EQ(worker().WaitFinished(1).outcome(), shm::TaskOutcome::kSucceeded);
  EXPECT_THAT(worker().partials().at(1), SizeIs(500));
}

TEST_F(WorkerLoopTest, LargePayloadsArriveInSegments) {
  StartNative();
  const std::string payload = Pattern(3'000'000);
  const absl::StatusOr<uint64_t> segment = worker().Lend(payload);
  ASSERT_TRUE(segment.ok()) << segment.status();
  const FinishedTask task = worker().Run(
      {.id = 1, .function = "echo", .segment_id = *segment, .segment_bytes = payload.size()});
  EXPECT_TRUE(task.value == payload) << task.error;
  EXPECT_NE(task.record.segment_id, 0u) << "a large value goes into a segment";
  EXPECT_NE(task.record.segment_id, *segment);
}

TEST_F(WorkerLoopTest, ASegmentThatWasTakenBackOrNeverLentIsTheTasksError) {
  StartNative();
  const absl::StatusOr<uint64_t> segment = worker().Lend("content");
  ASSERT_TRUE(segment.ok());
  ASSERT_TRUE(worker().control().Send(zygote::SegmentRelease{*segment}).ok());
  const TaskSpec task = {.function = "echo", .segment_id = *segment, .segment_bytes = 7};
  TaskSpec first = task;
  first.id = 1;
  EXPECT_EQ(worker().Run(first).error,
            absl::StrCat("payload: segment ", *segment, " was not handed to this worker"));
  TaskSpec second = task;
  second.id = 2;
  second.segment_id = 4711;
  EXPECT_EQ(worker().Run(second).error, "payload: segment 4711 was not handed to this worker");
}

TEST_F(WorkerLoopTest, LargeValuesAndPartialsLeaveInSegments) {
  StartNative();
  for (const char* function : {"value_bytes", "allocated_value_bytes"}) {
    const uint64_t id = worker().finished().size() + 1;
    const FinishedTask task = worker().Run({.id = id, .function = function, .payload = "2000000"});
    EXPECT_TRUE(task.value == Pattern(2'000'000)) << function << ": " << task.error;
    EXPECT_EQ(task.content_type, "text/plain");
  }
  worker().Run({.id = 3, .function = "emit_bytes", .payload = "100000"});
  EXPECT_TRUE(worker().partials().at(3).at(0) == Pattern(100'000));
  EXPECT_EQ(worker().segment_requests(), 3u);
}

TEST_F(WorkerLoopTest, APartialThatIsTooLargeIsRefusedToTheFunction) {
  StartNative();
  const FinishedTask most = worker().Run({.id = 1, .function = "emit_bytes", .payload = "3145728"});
  EXPECT_EQ(most.error, "");
  EXPECT_EQ(worker().partials().at(1).at(0).size(), shm::kMaxPartialBytes);
  const FinishedTask more = worker().Run({.id = 2, .function = "emit_bytes", .payload = "3145729"});
  EXPECT_EQ(more.error,
            "partial result of 3145729 bytes; at most 3145728 are allowed: emit it in parts, or "
            "return it as the task's value");
  EXPECT_FALSE(worker().partials().contains(2));
}

TEST_F(WorkerLoopTest, ValuesAtTheBorderTravelInlineOrInSegmentsWithoutLoss) {
  StartNative();
  uint64_t id = 0;
  for (const size_t bytes : {16'383, 16'384, 16'385, 40'000}) {
    for (const char* function : {"value_bytes", "allocated_value_bytes"}) {
      const FinishedTask task =
          worker().Run({.id = ++id, .function = function, .payload = absl::StrCat(bytes)});
      EXPECT_TRUE(task.value == Pattern(bytes)) << bytes << ": " << task.error;
      EXPECT_EQ(task.record.segment_id != 0, bytes > 16'384);
    }
  }
}

TEST_F(WorkerLoopTest, ADeniedSegmentIsTheTasksError) {
  StartNative();
  worker().SetRoom(absl::ResourceExhaustedError("segments are used up"));
  EXPECT_EQ(worker().Run({.id = 1, .function = "value_bytes", .payload = "50000"}).error,
            "value of 50000 bytes: segments are used up");
  EXPECT_EQ(worker().Run({.id = 2, .function = "allocated_value_bytes", .payload = "50000"}).error,
            "value of 50000 bytes: segments are used up");
  EXPECT_EQ(worker().Run({.id = 3, .function = "emit_bytes", .payload = "50000"}).error,
            "value of 50000 bytes: segments are used up");
}

TEST_F(WorkerLoopTest, AMeasuredTaskLeavesNoProcessBehind) {
  StartNative();
  const FinishedTask task =
      worker().Run({.id = 1, .function = "orphan", .flags = shm::kTaskMeasure});
  pid_t grandchild = 0;
  ASSERT_TRUE(absl::SimpleAtoi(task.value, &grandchild)) << task.error;
  EXPECT_TRUE(absl::IsNotFound(os::ReadProcessStats(grandchild).status()));
  EXPECT_EQ(worker().Run({.id = 2, .function = "echo", .payload = "on"}).value, "on");
}

TEST_F(WorkerLoopTest, RetirementTakesTheLeftoversOfUnmeasuredTasksAlong) {
  StartNative();
  const FinishedTask task = worker().Run({.id = 1, .function = "orphan"});
  pid_t grandchild = 0;
  ASSERT_TRUE(absl::SimpleAtoi(task.value, &grandchild)) << task.error;
  EXPECT_TRUE(os::ReadProcessStats(grandchild).ok());
  worker().control().Close();
  EXPECT_EQ(WaitStatus(), 0);
  EXPECT_TRUE(absl::IsNotFound(os::ReadProcessStats(grandchild).status()));
}

TEST_F(WorkerLoopTest, SigtermEndsAnIdleWorkerPolitelyAndABusyOneBySignal) {
  StartNative();
  worker().Run({.id = 1, .function = "noop"});
  // Idle once it has announced its sleep in the kernel.
  while (os::ReadProcessStats(worker().pid())->state != 'S') {
  }
  ASSERT_TRUE(worker().pidfd().SendSignal(SIGTERM).ok());
  EXPECT_EQ(WaitStatus(), 0);

  absl::StatusOr<std::unique_ptr<FakeWorker>> busy = daemon().Fork(1);
  ASSERT_TRUE(busy.ok());
  ASSERT_TRUE((*busy)->Submit({{.id = 2, .function = "hang", .flags = shm::kTaskNotifyStart}}));
  ASSERT_TRUE((*busy)->PumpUntil([&] { return !(*busy)->started().empty(); }));
  ASSERT_TRUE((*busy)->pidfd().SendSignal(SIGTERM).ok());
  const int status = WaitStatus();
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGTERM);
}

TEST_F(WorkerLoopTest, ADedicatedNativeTaskEndsWithAnExitCode) {
  StartNative(/*dedicated=*/true);
  EXPECT_EQ(worker().Run({.id = 1, .function = "echo", .payload = "x"}).value, "x");
  EXPECT_EQ(WaitStatus(), 0);
  absl::StatusOr<std::unique_ptr<FakeWorker>> failing = daemon().Fork(1, /*dedicated=*/true);
  ASSERT_TRUE(failing.ok());
  EXPECT_EQ((*failing)->Run({.id = 2, .function = "fail", .payload = "no"}).error, "no");
  EXPECT_EQ(WaitStatus(), W_EXITCODE(1, 0));
}

TEST_F(WorkerLoopTest, ADedicatedCommandEndsAsItsProgram) {
  StartCommand(/*dedicated=*/true);
  worker().Run({.id = 1, .payload = Command({"sh", "-c", "exit 9"})});
  EXPECT_EQ(WaitStatus(), W_EXITCODE(9, 0));
  absl::StatusOr<std::unique_ptr<FakeWorker>> killed = daemon().Fork(1, /*dedicated=*/true);
  ASSERT_TRUE(killed.ok());
  (*killed)->Run({.id = 2, .payload = Command({"sh", "-c", "kill -USR1 $$"})});
  const int by_signal = WaitStatus();
  ASSERT_TRUE(WIFSIGNALED(by_signal));
  EXPECT_EQ(WTERMSIG(by_signal), SIGUSR1);
  absl::StatusOr<std::unique_ptr<FakeWorker>> missing = daemon().Fork(2, /*dedicated=*/true);
  ASSERT_TRUE(missing.ok());
  (*missing)->Run({.id = 3, .payload = Command({"no-such-program"})});
  EXPECT_EQ(WaitStatus(), W_EXITCODE(127, 0));
}

TEST_F(WorkerLoopTest, ACommandReportsItsStatusAndItsOutputIsWhole) {
  StartCommand();
  const FinishedTask task =
      worker().Run({.id = 1, .payload = Command({"sh", "-c", "echo out; echo err >&2; exit 3"})});
  EXPECT_EQ(task.outcome(), shm::TaskOutcome::kExited);
  EXPECT_EQ(task.record.wait_status, W_EXITCODE(3, 0));
  EXPECT_EQ(worker().output_at_end(1, 1), "out\n");
  EXPECT_EQ(worker().output_at_end(2, 1), "err\n");
}

TEST_F(WorkerLoopTest, ACommandDoesNotSeeTheZygotesSocket) {
  StartCommand();
  worker().Run({.id = 1, .payload = Command({"env"})});
  EXPECT_THAT(worker().output(1, 1), ::testing::Not(HasSubstr(zygote::kSocketVariable)));
}

TEST_F(WorkerLoopTest, ACommandsBackgroundProcessesEndWithIt) {
  StartCommand();
  worker().Run({.id = 1, .payload = Command({"sh", "-c", "setsid sleep 1000 & echo $!"})});
  pid_t background = 0;
  ASSERT_TRUE(absl::SimpleAtoi(worker().output(1, 1), &background)) << worker().output(1, 1);
  EXPECT_TRUE(absl::IsNotFound(os::ReadProcessStats(background).status()));
}

TEST_F(WorkerLoopTest, ACommandStoppedByTheDaemonReportsTheSignalAndTheWorkerLives) {
  StartCommand();
  const pid_t program = StartSleeper();
  kill(program, SIGTERM);
  const FinishedTask task = worker().WaitFinished(1);
  ASSERT_TRUE(WIFSIGNALED(task.record.wait_status));
  EXPECT_EQ(WTERMSIG(task.record.wait_status), SIGTERM);
  EXPECT_EQ(worker().Run({.id = 2, .payload = Command({"true"})}).record.wait_status, 0);
}

TEST_F(WorkerLoopTest, ARunningCommandDiesWithTheDaemon) {
  StartCommand();
  const pid_t program = StartSleeper();
  worker().control().Close();
  EXPECT_EQ(WaitStatus(), 0);
  EXPECT_TRUE(absl::IsNotFound(os::ReadProcessStats(program).status()));
}

}  // namespace
}  // namespace prefork::worker_testing
