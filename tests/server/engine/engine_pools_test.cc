// The engine with real worker processes: pools, workers, watches, bounds and the end.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/engine/errors.h"
#include "tests/server/engine/engine_test_bed.h"

namespace prefork::engine {
namespace {

using scheduler::EndCause;
using scheduler::TaskState;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::string Message(const absl::Status& status) { return std::string(status.message()); }

class EnginePoolsTest : public EngineTestBed {
 protected:
  absl::Status Refusal(TaskSubmission task) {
    return Ask([&] { return engine_->Submit(kRoot, std::move(task)); }).status();
  }
};

TEST_F(EnginePoolsTest, RefusalsNameWhatIsWrongAndWhatIsRight) {
  StartEngine({NativePool(1), CommandPool(1)});
  ASSERT_EQ(RunTask(Function("noop")).state, TaskState::kSucceeded);  // its functions are known now

  TaskOptions elsewhere;
  elsewhere.pool = "gpu";
  const absl::Status unknown_pool = Refusal(Function("noop", "", elsewhere));
  EXPECT_EQ(unknown_pool.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Message(unknown_pool), "no pool named \"gpu\"; pools are: default, native");
  EXPECT_EQ(ReasonOf(unknown_pool), reason::kPoolNotFound);

  const absl::Status unknown_function = Refusal(Function("ecko"));
  EXPECT_EQ(unknown_function.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(unknown_function), HasSubstr("did you mean \"echo\"?"));

  TaskOptions native;
  native.pool = "native";
  const absl::Status wrong_runtime = Refusal(Command({"true"}, native));
  EXPECT_EQ(wrong_runtime.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(wrong_runtime), HasSubstr("pools that do: default"));

  TaskOptions nothing_to_do;
  nothing_to_do.pool = "native";
  EXPECT_THAT(Message(Refusal(Function("", "", nothing_to_do))), HasSubstr("say what to run"));
  EXPECT_THAT(Message(Refusal(Command({std::string("a\0b", 3)}))), HasSubstr("NUL"));
}

TEST_F(EnginePoolsTest, AFullQueueRefusesByCountAndByBytes) {
  pool::PoolSpec spec = NativePool(1);
  spec.max_queued_tasks = 2;
  spec.max_queued_bytes = 1000;
  StartEngine({spec});
  const TaskId first = SubmitTask(Function("hang"));
  const absl::Status bytes = Refusal(Function("echo", std::string(2000, 'x')));
  EXPECT_EQ(bytes.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(Message(bytes), HasSubstr("its limit of 1000 (max_queued_bytes)"));
  SubmitTask(Function("noop"));
  const absl::Status count = Refusal(Function("noop"));
  EXPECT_EQ(count.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Message(count), "pool \"native\" has 2 unfinished tasks, its limit (max_queued_tasks)");
  ASSERT_TRUE(Ask([&] { return engine_->Cancel(kRoot, first, true); }).ok());
  WaitFor(first);
  EXPECT_TRUE(Refusal(Function("noop")).ok()) << "there is room again";
}

TEST_F(EnginePoolsTest, ScalingIsAnsweredWhenTheWorkersAreReady) {
  StartEngine({NativePool(1)});
  auto pool = Order([&](auto done) { engine_->ScalePool(kRoot, "native", 4, done); });
  ASSERT_TRUE(pool.ok()) << pool.status();
  EXPECT_EQ(pool->workers_idle, 4u);
  pool = Order([&](auto done) { engine_->ScalePool(kRoot, "native", 2, done); });
  ASSERT_TRUE(pool.ok());
  EXPECT_EQ(pool->workers_idle + pool->workers_busy, 2u);
  EXPECT_THAT(Ask([&] { return engine_->ListWorkers("native"); }), SizeIs(2));
  EXPECT_EQ(Order([&](auto done) { engine_->ScalePool(kRoot, "native", 0, done); }).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(EnginePoolsTest, APausedPoolKeepsTasksQueuedUntilItGoesOn) {
  StartEngine({NativePool(1)});
  auto pool = Order([&](auto done) { engine_->PausePool(kRoot, "native", true, done); });
  ASSERT_TRUE(pool.ok());
  EXPECT_EQ(pool->state, PoolState::kPaused);
  const TaskId task = SubmitTask(Function("noop"));
  EXPECT_TRUE(WaitUntil([&] { return engine_->GetPool("native")->workers_idle == 1; }));
  EXPECT_EQ(StateOf(task), TaskState::kQueued);
  ASSERT_TRUE(Order([&](auto done) { engine_->PausePool(kRoot, "native", false, done); }).ok());
  EXPECT_EQ(WaitFor(task).state, TaskState::kSucceeded);
}

TEST_F(EnginePoolsTest, ADrainedPoolFinishesWhatItHasAndRefusesTheRest) {
  StartEngine({NativePool(1)});
  const TaskId task = SubmitTask(Function("spin_us", "50000"));
  const auto pool = Order([&](auto done) { engine_->DrainPool(kRoot, "native", done); });
  ASSERT_TRUE(pool.ok());
  EXPECT_EQ(pool->state, PoolState::kDraining);
  EXPECT_EQ(StateOf(task), TaskState::kSucceeded);
  EXPECT_EQ(Refusal(Function("noop")).code(), absl::StatusCode::kUnavailable);
  ASSERT_TRUE(Order([&](auto done) { engine_->PausePool(kRoot, "native", false, done); }).ok());
  EXPECT_TRUE(Refusal(Function("noop")).ok()) << "resuming ends the drain";
}

TEST_F(EnginePoolsTest, AReloadReplacesEveryWorkerAndLosesNoTask) {
  StartEngine({NativePool(2)});
  const std::string pid(RunTask(Function("worker_pid")).value.view());
  std::vector<TaskId> tasks;
  tasks.reserve(50);
  for (int i = 0; i < 50; ++i) tasks.push_back(SubmitTask(Function("spin_us", "1000")));
  const auto pool = Order([&](auto done) { engine_->ReloadPool(kRoot, "native", done); });
  ASSERT_TRUE(pool.ok()) << pool.status();
  for (const WorkerInfo& worker : Ask([&] { return engine_->ListWorkers("native"); })) {
    EXPECT_GT(worker.generation, 1u);
    EXPECT_NE(absl::StrCat(worker.pid), pid);
  }
  for (const TaskId id : tasks) EXPECT_EQ(WaitFor(id).state, TaskState::kSucceeded);
}

TEST_F(EnginePoolsTest, ABusyPoolIsDeletedByForceOnly) {
  StartEngine({NativePool(1)});
  const TaskId running = SubmitTask(Function("hang"));
  const TaskId queued = SubmitTask(Function("noop"));
  ASSERT_TRUE(WaitRunning(running));
  const auto refused = Order([&](auto done) { engine_->DeletePool(kRoot, "native", false, done); });
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(refused.status()), HasSubstr("has 2 unfinished tasks"));
  ASSERT_TRUE(Order([&](auto done) { engine_->DeletePool(kRoot, "native", true, done); }).ok());
  EXPECT_EQ(WaitFor(running).exit_report->cause, EndCause::kPoolDeleted);
  EXPECT_EQ(WaitFor(queued).exit_report->cause, EndCause::kPoolDeleted);
  EXPECT_EQ(Ask([&] { return engine_->GetPool("native"); }).status().code(),
            absl::StatusCode::kNotFound);
  const auto again = Ask([&] { return engine_->CreatePool(kRoot, NativePool(1)); });
  ASSERT_TRUE(again.ok()) << "the name is free again";
  EXPECT_EQ(RunTask(Function("noop")).state, TaskState::kSucceeded);
}

TEST_F(EnginePoolsTest, AKilledWorkerIsReportedAndReplaced) {
  StartEngine({NativePool(1)});
  const TaskId task = SubmitTask(Function("hang"));
  ASSERT_TRUE(WaitRunning(task));
  const auto worker = Ask([&] { return engine_->SignalWorker(kRoot, "native", 0, 1, SIGKILL); });
  ASSERT_TRUE(worker.ok()) << worker.status();
  EXPECT_EQ(worker->running_task, task);
  const TaskInfo crashed = WaitFor(task);
  EXPECT_EQ(crashed.state, TaskState::kCrashed);
  EXPECT_THAT(crashed.exit_report->detail, HasSubstr("a client had that signal sent"));
  EXPECT_TRUE(WaitUntil([&] { return engine_->GetPool("native")->workers_idle == 1; }));
  const auto gone = Ask([&] { return engine_->SignalWorker(kRoot, "native", 0, 1, SIGTERM); });
  EXPECT_EQ(gone.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(gone.status()), HasSubstr("generation 2 is in its slot"));
  EXPECT_EQ(
      Ask([&] { return engine_->SignalWorker(kRoot, "native", 9, 0, SIGTERM); }).status().code(),
      absl::StatusCode::kNotFound);
}

TEST_F(EnginePoolsTest, AWatchResumesWhereItLeftOff) {
  StartEngine({NativePool(1)});
  RecordingSink first;
  WatchOptions options;
  options.caller = kRoot;
  options.tasks = true;
  const SessionId watch = Ask([&] { return *engine_->OpenWatch(options, &first); });
  const TaskId a = RunTask(Function("noop")).id;
  ASSERT_TRUE(WaitUntil([&] {
    engine_->SinkWritable(watch);
    return !first.ends.empty();
  }));
  Ask([&] { engine_->CloseSession(watch); });
  const TaskId b = RunTask(Function("noop")).id;
  RecordingSink second;
  options.after_sequence = first.ends[0].sequence;
  const SessionId resumed = Ask([&] { return *engine_->OpenWatch(options, &second); });
  ASSERT_TRUE(WaitUntil([&] {
    engine_->SinkWritable(resumed);
    return !second.ends.empty();
  }));
  Ask([&] { engine_->CloseSession(resumed); });
  EXPECT_EQ(first.ends[0].task, a);
  EXPECT_EQ(second.ends[0].task, b);
  EXPECT_THAT(second.StatesOf(a), IsEmpty());
  EXPECT_EQ(second.StatesOf(b).front(), TaskState::kQueued);
}

TEST_F(EnginePoolsTest, WatchersSeeWorkersComeAndGo) {
  StartEngine({NativePool(1)});
  ASSERT_EQ(RunTask(Function("noop")).state, TaskState::kSucceeded);
  RecordingSink sink;
  WatchOptions options;
  options.caller = kRoot;
  options.workers = options.snapshot = true;
  const SessionId watch = Ask([&] { return *engine_->OpenWatch(options, &sink); });
  SubmitTask(Function("segfault"));
  ASSERT_TRUE(WaitUntil([&] {
    engine_->SinkWritable(watch);
    return !sink.events.empty() && sink.events.back().second.worker_generation == 2 &&
           sink.events.back().second.worker->state == WorkerState::kIdle;
  }));
  Ask([&] { engine_->CloseSession(watch); });
  std::vector<std::pair<uint32_t, WorkerState>> seen;
  std::string detail;
  for (const auto& [tag, event] : sink.events) {
    seen.emplace_back(event.worker_generation, event.worker->state);
    if (event.report) detail = event.report->detail;
  }
  EXPECT_EQ(seen.front(), std::make_pair(1u, WorkerState::kIdle)) << "as it was";
  EXPECT_THAT(seen, Contains(std::make_pair(1u, WorkerState::kExited)));
  EXPECT_THAT(seen, Contains(std::make_pair(2u, WorkerState::kStarting)));
  EXPECT_THAT(detail, HasSubstr("SIGSEGV"));
}

TEST_F(EnginePoolsTest, FinishedTasksAreForgottenByCountAndDeletedByHand) {
  EngineOptions options;
  options.pools = {NativePool(1)};
  options.max_finished_tasks = 3;
  StartEngine(options);
  std::vector<TaskId> ids;
  ids.reserve(6);
  for (int i = 0; i < 6; ++i) ids.push_back(RunTask(Function("echo", absl::StrCat(i))).id);
  ASSERT_TRUE(WaitUntil([&] { return engine_->Status().tasks_known == 3; }));
  const absl::Status gone = Ask([&] { return engine_->Get(kRoot, ids[0]); }).status();
  EXPECT_EQ(gone.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Ask([&] { return engine_->Get(kRoot, ids[5]); })->value.view(), "5");
  TaskFilter one;
  one.ids = {ids[4]};
  EXPECT_EQ(Ask([&] { return engine_->Delete(kRoot, one); }).value(), 1u);
  EXPECT_EQ(Ask([&] { return engine_->Delete(kRoot, one); }).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(Ask([&] { return engine_->Delete(kRoot, TaskFilter()); }).value(), 2u);
}

TEST_F(EnginePoolsTest, ATerminalTaskCanBeSubmittedOnceMore) {
  StartEngine({CommandPool(1)});
  TaskSubmission command = Command({"cat"});
  command.payload = Bytes("again");
  const TaskInfo first = RunTask(std::move(command));
  const auto second = Ask([&] { return engine_->Retry(kRoot, first.id); });
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_NE(*second, first.id);
  EXPECT_EQ(WaitFor(*second).state, TaskState::kSucceeded);
  const auto output =
      Ask([&] { return engine_->ReadOutput(kRoot, *second, OutputStream::kStdout, 0); });
  ASSERT_THAT(*output, SizeIs(1));
  EXPECT_EQ((*output)[0].data, "again");
}

TEST_F(EnginePoolsTest, ARunningTaskCanBeSignalledAndAQueuedOneNot) {
  StartEngine({CommandPool(1)});
  const TaskId running = SubmitTask(Command({"sh", "-c",
                                             "trap 'echo got it; exit 5' USR1; echo ready; "
                                             "while :; do sleep 0.01; done"}));
  ASSERT_TRUE(WaitUntil([&] {
    const auto output = engine_->ReadOutput(kRoot, running, OutputStream::kStdout, 0);
    return output.ok() && !output->empty();
  }));
  const TaskId queued = SubmitTask(Command({"true"}));
  EXPECT_EQ(Ask([&] { return engine_->SignalTask(kRoot, queued, SIGUSR1); }).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Ask([&] { return engine_->SignalTask(kRoot, running, 0); }).code(),
            absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(Ask([&] { return engine_->SignalTask(kRoot, running, SIGUSR1); }).ok());
  const TaskInfo task = WaitFor(running);
  EXPECT_EQ(task.state, TaskState::kFailed);
  EXPECT_EQ(WaitFor(queued).state, TaskState::kSucceeded);
}

TEST_F(EnginePoolsTest, TheEndFinishesWhatItCanAndCancelsTheRest) {
  StartEngine({NativePool(2)});
  RecordingSink sink;
  SessionOptions options;
  options.caller = kRoot;
  const SessionId session = Ask([&] { return engine_->OpenSession(options, &sink); });
  std::vector<TaskSubmission> tasks;
  tasks.push_back(Function("ignore_term"));
  tasks.push_back(Function("spin_us", "30000"));
  tasks[1].tag = 1;
  Ask([&] { engine_->SubmitBatch(session, std::move(tasks)); });
  ASSERT_TRUE(WaitUntil([&] {
    engine_->SinkWritable(session);
    return sink.accepted.size() == 2 &&
           engine_->Get(kRoot, sink.accepted[0])->state == TaskState::kRunning;
  }));
  absl::Notification drained;
  Ask([&] { engine_->Drain(absl::Milliseconds(300), [&] { drained.Notify(); }); });
  EXPECT_EQ(Refusal(Function("noop")).code(), absl::StatusCode::kUnavailable);
  // The sink reads on, as a client would.
  while (!drained.WaitForNotificationWithTimeout(absl::Milliseconds(5))) {
    Ask([&] { engine_->SinkWritable(session); });
  }
  engine_->Stop();
  ASSERT_THAT(sink.ends, SizeIs(2));
  EXPECT_EQ(sink.FindEnd(0)->cause, EndCause::kShutdown);
  EXPECT_EQ(sink.FindEnd(1)->state, TaskState::kSucceeded);
  ASSERT_TRUE(sink.closed.has_value());
  EXPECT_EQ(sink.closed->code(), absl::StatusCode::kUnavailable);
  engine_.reset();
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "no process is left";
}

TEST_F(EnginePoolsTest, AnIdleEngineDoesNotWakeUp) {
  EngineOptions options;
  options.pools = {NativePool(2)};
  StartEngine(options);
  ASSERT_EQ(RunTask(Function("noop")).state, TaskState::kSucceeded);
  ASSERT_TRUE(WaitUntil([&] { return engine_->GetPool("native")->workers_idle == 2; }));
  const uint64_t before = Ask([&] { return engine_->Status().wakeups; });
  absl::SleepFor(absl::Milliseconds(500));  // what is measured is that nothing happens
  const uint64_t after = Ask([&] { return engine_->Status().wakeups; });
  EXPECT_LE(after - before, 2u) << "the two questions";
}

}  // namespace
}  // namespace prefork::engine
