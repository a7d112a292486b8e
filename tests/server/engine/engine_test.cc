// The engine with real worker processes: the life of tasks.
#include "server/engine/engine.h"

#include <sys/wait.h>

#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/engine/errors.h"
#include "tests/server/engine/engine_test_bed.h"

namespace prefork::engine {
namespace {

using scheduler::EndCause;
using scheduler::TaskState;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class EngineTest : public EngineTestBed {};

SessionOptions OptionsOfRoot() {
  SessionOptions options;
  options.caller = kRoot;
  return options;
}

TEST_F(EngineTest, RunsAFunctionAndKeepsItsValue) {
  StartEngine({NativePool(1)});
  const TaskInfo task = RunTask(Function("echo", "hello"));
  EXPECT_EQ(task.state, TaskState::kSucceeded);
  EXPECT_EQ(task.value.view(), "hello");
  EXPECT_EQ(task.attempt, 1u);
  ASSERT_TRUE(task.exit_report.has_value());
  EXPECT_EQ(task.exit_report->cause, EndCause::kCompleted);
  EXPECT_THAT(task.exit_report->detail, HasSubstr("worker native/0 generation 1"));
  EXPECT_GE(task.started_at, task.submitted_at);
  EXPECT_GE(task.finished_at, task.started_at);
}

TEST_F(EngineTest, RunsACommandWithItsInputAndKeepsItsOutput) {
  StartEngine({CommandPool(1)});
  TaskSubmission command = Command({"sh", "-c", "cat; echo problem >&2; exit 7"});
  command.payload = Bytes("from stdin");
  const TaskInfo task = RunTask(std::move(command));
  EXPECT_EQ(task.state, TaskState::kFailed);
  EXPECT_EQ(task.payload_bytes, 10u);
  ASSERT_TRUE(task.exit_report.has_value());
  EXPECT_EQ(task.exit_report->cause, EndCause::kTaskError);
  ASSERT_TRUE(task.exit_report->wait_status.has_value());
  EXPECT_EQ(WEXITSTATUS(*task.exit_report->wait_status), 7);
  EXPECT_THAT(task.exit_report->detail, HasSubstr("the command exited with code 7"));
  EXPECT_EQ(task.exit_report->stderr_tail, "problem\n");
  const auto output =
      Ask([&] { return engine_->ReadOutput(kRoot, task.id, OutputStream::kStdout, 0); });
  ASSERT_TRUE(output.ok());
  ASSERT_THAT(*output, SizeIs(1));
  EXPECT_EQ((*output)[0].data, "from stdin");
}

TEST_F(EngineTest, ReportsAFunctionsOwnError) {
  StartEngine({NativePool(1)});
  const TaskInfo task = RunTask(Function("fail", "no such row"));
  EXPECT_EQ(task.state, TaskState::kFailed);
  EXPECT_EQ(task.error, "no such row");
  EXPECT_THAT(task.exit_report->detail, HasSubstr("the function \"fail\" reported an error"));
}

TEST_F(EngineTest, LargePayloadsAndValuesTravelInSegments) {
  StartEngine({NativePool(1)});
  std::string large(3'000'000, 'x');
  large.back() = 'y';
  absl::StatusOr<Bytes> packed = engine_->Pack(large, kRoot.uid);
  ASSERT_TRUE(packed.ok());
  ASSERT_NE(packed->segment(), nullptr);
  TaskSubmission task = Function("echo");
  task.payload = *std::move(packed);
  const TaskInfo echoed = RunTask(std::move(task));
  EXPECT_EQ(echoed.state, TaskState::kSucceeded);
  EXPECT_NE(echoed.value.segment(), nullptr);
  EXPECT_TRUE(echoed.value.view() == large);
}

TEST_F(EngineTest, ACrashCostsTheRunningTaskOnly) {
  StartEngine({NativePool(1)});
  const TaskId crashing = SubmitTask(Function("segfault"));
  std::vector<TaskId> behind;
  behind.reserve(50);
  for (int i = 0; i < 50; ++i) behind.push_back(SubmitTask(Function("echo", absl::StrCat(i))));
  const TaskInfo crashed = WaitFor(crashing);
  EXPECT_EQ(crashed.state, TaskState::kCrashed);
  EXPECT_EQ(crashed.exit_report->cause, EndCause::kWorkerDied);
  EXPECT_THAT(crashed.exit_report->detail, HasSubstr("was killed by signal 11 (SIGSEGV)"));
  EXPECT_THAT(crashed.exit_report->detail, HasSubstr("while it ran the task"));
  for (size_t i = 0; i < behind.size(); ++i) {
    const TaskInfo task = WaitFor(behind[i]);
    EXPECT_EQ(task.state, TaskState::kSucceeded);
    EXPECT_EQ(task.value.view(), absl::StrCat(i));
    EXPECT_EQ(task.attempt, 1u) << "it had never started before";
  }
  EXPECT_TRUE(WaitUntil([&] { return engine_->GetPool("native")->workers_idle == 1; }));
}

TEST_F(EngineTest, AQueuedTaskIsCancelledAtOnce) {
  StartEngine({NativePool(1)});
  const TaskId running = SubmitTask(Function("wait_cancelled"));
  ASSERT_TRUE(WaitRunning(running));
  const TaskId queued = SubmitTask(Function("noop"));
  ASSERT_TRUE(Ask([&] { return engine_->Cancel(kRoot, queued, false); }).ok());
  const TaskInfo task = WaitFor(queued);
  EXPECT_EQ(task.state, TaskState::kCancelled);
  EXPECT_EQ(task.exit_report->cause, EndCause::kCancelledByClient);
  EXPECT_THAT(task.exit_report->detail, HasSubstr("before it ran"));
  EXPECT_EQ(StateOf(running), TaskState::kRunning);
}

TEST_F(EngineTest, CancellingARunningTaskEndsItsProcessTree) {
  StartEngine({CommandPool(2)});
  const TaskId task = SubmitTask(Command({"sh", "-c", "sleep 1000 & sleep 1000"}));
  const TaskId neighbour = SubmitTask(Command({"sleep", "1000"}));
  ASSERT_TRUE(WaitRunning(task));
  ASSERT_TRUE(WaitRunning(neighbour));
  ASSERT_TRUE(Ask([&] { return engine_->Cancel(kRoot, task, false); }).ok());
  const TaskInfo cancelled = WaitFor(task);
  EXPECT_EQ(cancelled.state, TaskState::kCancelled);
  EXPECT_THAT(cancelled.exit_report->detail, HasSubstr("cancelled by a client while worker"));
  EXPECT_EQ(StateOf(neighbour), TaskState::kRunning);
}

TEST_F(EngineTest, ATaskThatIgnoresTermIsKilledAfterItsGrace) {
  StartEngine({NativePool(1)});
  TaskOptions options;
  options.timeout = absl::Milliseconds(50);
  options.grace = absl::Milliseconds(100);
  const TaskInfo task = RunTask(Function("ignore_term", "", options));
  EXPECT_EQ(task.state, TaskState::kTimedOut);
  EXPECT_EQ(task.exit_report->cause, EndCause::kTimeout);
  EXPECT_THAT(task.exit_report->detail, HasSubstr("its timeout of 50ms"));
  EXPECT_GE(task.exit_report->run_time, absl::Milliseconds(150));
  const TaskInfo next = RunTask(Function("echo", "alive"));
  EXPECT_EQ(next.value.view(), "alive");
}

TEST_F(EngineTest, ACrashedTaskIsRetriedAndTellsOfItsEarlierAttempts) {
  StartEngine({NativePool(1)});
  TaskOptions options;
  options.retry.max_attempts = 3;
  options.retry.on = scheduler::kRetryOnCrash;
  options.retry.backoff_ns = 1'000'000;
  const TaskInfo task = RunTask(Function("crash_until_attempt", "2", options));
  EXPECT_EQ(task.state, TaskState::kSucceeded);
  EXPECT_EQ(task.attempt, 3u);
  ASSERT_THAT(task.earlier_attempts, SizeIs(2));
  EXPECT_EQ(task.earlier_attempts[0].attempt, 1u);
  EXPECT_EQ(task.earlier_attempts[0].cause, EndCause::kWorkerDied);
  EXPECT_EQ(task.earlier_attempts[1].attempt, 2u);
}

TEST_F(EngineTest, SuccessorsRunAfterSuccessAndAreCancelledOtherwise) {
  StartEngine({NativePool(2)});
  const TaskId first = SubmitTask(Function("spin_us", "20000"));
  TaskOptions after_first;
  after_first.after = {first};
  const TaskInfo second = RunTask(Function("noop", "", after_first));
  EXPECT_EQ(second.state, TaskState::kSucceeded);
  EXPECT_GE(second.started_at, WaitFor(first).finished_at);

  const TaskId failing = SubmitTask(Function("fail", "on purpose"));
  TaskOptions after_failing;
  after_failing.after = {failing};
  const TaskInfo cancelled = RunTask(Function("noop", "", after_failing));
  EXPECT_EQ(cancelled.state, TaskState::kCancelled);
  EXPECT_EQ(cancelled.exit_report->cause, EndCause::kDependencyFailed);
  EXPECT_THAT(cancelled.exit_report->detail,
              HasSubstr(absl::StrCat("task ", failing, " ended FAILED")));

  TaskOptions after_unknown;
  after_unknown.after = {12345};
  const auto refused =
      Ask([&] { return engine_->Submit(kRoot, Function("noop", "", after_unknown)); });
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReasonOf(refused.status()), reason::kTaskNotFound);
}

TEST_F(EngineTest, ARepeatedRequestIdIsTheSameTaskAndAnotherBodyARefusal) {
  StartEngine({NativePool(1)});
  TaskSubmission task = Function("echo", "body");
  task.request_id = "order-1";
  const auto first = Ask([&] { return engine_->Submit(kRoot, task); });
  const auto again = Ask([&] { return engine_->Submit(kRoot, task); });
  ASSERT_TRUE(first.ok() && again.ok());
  EXPECT_FALSE(first->second);
  EXPECT_TRUE(again->second);
  EXPECT_EQ(first->first, again->first);
  task.payload = Bytes("another body");
  const auto other = Ask([&] { return engine_->Submit(kRoot, task); });
  EXPECT_EQ(other.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(other.status().message()), HasSubstr("order-1"));
  EXPECT_EQ(WaitFor(first->first).value.view(), "body");
}

TEST_F(EngineTest, ADedicatedTaskGetsAProcessOfItsOwnAndARealExitCode) {
  StartEngine({NativePool(1)});
  const std::string pid(RunTask(Function("worker_pid")).value.view());
  TaskOptions dedicated;
  dedicated.dedicated = true;
  const TaskInfo own = RunTask(Function("worker_pid", "", dedicated));
  EXPECT_EQ(own.state, TaskState::kSucceeded);
  EXPECT_NE(own.value.view(), pid);
  const TaskInfo exited = RunTask(Function("exit", "3", dedicated));
  EXPECT_EQ(exited.state, TaskState::kFailed);
  EXPECT_THAT(exited.exit_report->detail, HasSubstr("the dedicated process exited with code 3"));
  EXPECT_TRUE(WaitUntil([&] { return engine_->ListWorkers("native").size() == 1; }));
}

TEST_F(EngineTest, ASessionHearsOfItsTasksInOrder) {
  StartEngine({NativePool(1)});
  RecordingSink sink;
  SessionOptions options;
  options.caller = kRoot;
  options.states = options.output = options.progress = true;
  const SessionId session = Ask([&] { return engine_->OpenSession(options, &sink); });
  std::vector<TaskSubmission> tasks;
  tasks.push_back(Function("emit", "3"));
  tasks.push_back(Function("print", "some words"));
  for (uint64_t i = 0; i < tasks.size(); ++i) tasks[i].tag = 10 + i;
  Ask([&] { engine_->SubmitBatch(session, std::move(tasks)); });
  ASSERT_TRUE(WaitUntil([&] {
    engine_->SinkWritable(session);
    return sink.ends.size() == 2;
  }));
  Ask([&] { engine_->CloseSession(session); });
  ASSERT_THAT(sink.accepted, SizeIs(2));
  EXPECT_EQ(sink.accepted[11], sink.accepted[10] + 1);
  EXPECT_THAT(sink.StatesOf(sink.accepted[10]),
              ElementsAre(TaskState::kQueued, TaskState::kDispatched, TaskState::kRunning));
  EXPECT_EQ(sink.ends[0].tag, 10u);
  EXPECT_EQ(sink.ends[1].tag, 11u);
  int partials = 0;
  std::string output;
  uint64_t sequence = 0;
  for (const auto& [tag, event] : sink.events) {
    EXPECT_GT(event.sequence, sequence);
    sequence = event.sequence;
    if (event.kind == EventRecord::Kind::kPartial) {
      EXPECT_EQ(event.offset, partials++);
    }
    if (event.kind == EventRecord::Kind::kOutput) output += *event.data;
  }
  EXPECT_EQ(partials, 3);
  EXPECT_EQ(output, "some words");
}

TEST_F(EngineTest, TheEndOfASessionCancelsItsTasksUnlessTheyAreDetached) {
  StartEngine({NativePool(2)});
  RecordingSink sink;
  const SessionId session = Ask([&] { return engine_->OpenSession(OptionsOfRoot(), &sink); });
  TaskOptions detached;
  detached.detached = true;
  std::vector<TaskSubmission> tasks;
  tasks.push_back(Function("hang"));
  tasks.push_back(Function("spin_us", "100000", detached));
  tasks[1].tag = 1;
  Ask([&] { engine_->SubmitBatch(session, std::move(tasks)); });
  ASSERT_TRUE(WaitUntil([&] { return sink.accepted.size() == 2; }));
  const TaskId bound = sink.accepted[0];
  const TaskId free = sink.accepted[1];
  ASSERT_TRUE(WaitRunning(bound));
  Ask([&] { engine_->CloseSession(session); });
  EXPECT_EQ(WaitFor(bound).exit_report->cause, EndCause::kClientGone);

  RecordingSink next;
  SessionOptions resume = OptionsOfRoot();
  resume.resume = {free, 77};
  const SessionId resumed = Ask([&] { return engine_->OpenSession(resume, &next); });
  ASSERT_TRUE(WaitUntil([&] {
    engine_->SinkWritable(resumed);
    return next.ends.size() == 1;
  }));
  EXPECT_EQ(next.ends[0].task, free);
  EXPECT_EQ(next.ends[0].state, TaskState::kSucceeded);
  EXPECT_EQ(next.rejected[1].code(), absl::StatusCode::kNotFound);
  Ask([&] { engine_->CloseSession(resumed); });
}

TEST_F(EngineTest, OtherUsersTasksAreUnknownToACaller) {
  StartEngine({NativePool(1)});
  const Caller alice = {.uid = 1001, .privileged = false};
  const Caller bob = {.uid = 1002, .privileged = false};
  const auto submitted = Ask([&] { return engine_->Submit(alice, Function("hang")); });
  ASSERT_TRUE(submitted.ok());
  const TaskId id = submitted->first;
  EXPECT_EQ(Ask([&] { return engine_->Get(bob, id); }).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(Ask([&] { return engine_->Cancel(bob, id, true); }).code(),
            absl::StatusCode::kNotFound);
  TaskId next = 0;
  EXPECT_THAT(Ask([&] { return engine_->List(bob, {}, 0, false, 10, &next); }), IsEmpty());
  EXPECT_THAT(Ask([&] { return engine_->List(alice, {}, 0, false, 10, &next); }), SizeIs(1));
  const auto scaled = Order(
      [&](Engine::PoolDone done) { engine_->ScalePool(alice, "native", 2, std::move(done)); });
  EXPECT_EQ(scaled.status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_TRUE(Ask([&] { return engine_->Cancel(alice, id, true); }).ok());
}

TEST_F(EngineTest, AStopOfTheSameTaskAgainAndAgainHarmsNobody) {
  StartEngine({NativePool(2)});
  for (int i = 0; i < 20; ++i) {
    const TaskId victim = SubmitTask(Function("spin_us", "2000"));
    const TaskId bystander = SubmitTask(Function("spin_us", "1000"));
    for (int j = 0; j < 2; ++j) {
      EXPECT_TRUE(Ask([&] { return engine_->Cancel(kRoot, victim, false); }).ok());
    }
    EXPECT_EQ(WaitFor(bystander).state, TaskState::kSucceeded);
    EXPECT_TRUE(scheduler::IsTerminal(WaitFor(victim).state));
  }
}

}  // namespace
}  // namespace prefork::engine
