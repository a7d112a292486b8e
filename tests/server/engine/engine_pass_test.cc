// The whole engine on a clock that stands still, with workers that the test plays: what happens
// between decisions and lanes, step by step.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/os/pipe.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/engine/engine_impl.h"
#include "server/engine/errors.h"
#include "tests/common/os/fake_clock.h"
#include "tests/server/engine/fake_worker_pool.h"
#include "tests/server/engine/recording_sink.h"

namespace prefork::engine {
namespace {

using scheduler::EndCause;
using scheduler::TaskState;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

constexpr Caller kRoot = {.uid = 0, .privileged = true};

class EnginePassTest : public ::testing::Test {
 protected:
  EnginePassTest() { StartEngine(nullptr); }
  void StartEngine(log::Logger* log, EngineOptions options = {}) {
    engine_.reset();
    options.log = log;
    pool::PoolSpec native;
    native.name = "native";
    native.runtime = pool::Runtime::kNative;
    native.task_grace = absl::Seconds(5);
    pool::PoolSpec command;
    command.name = "command";
    command.runtime = pool::Runtime::kCommand;
    options.pools = {native, command};
    auto engine = EngineImpl::Create(
        options, &clock_, [this](const pool::PoolSpec& spec, pool::PoolObserver* observer) {
          auto pool = std::make_unique<FakeWorkerPool>(spec, observer);
          pools_[spec.name] = pool.get();
          return pool;
        });
    EXPECT_TRUE(engine.ok()) << engine.status();
    engine_ = *std::move(engine);
    engine_->StartPools();
  }

  FakeWorkerPool& native() { return *pools_["native"]; }
  // Passes until there is nothing more to do.
  void Pass() {
    for (int i = 0; i < 4; ++i) engine_->loop().RunOnce(0);
  }
  TaskId Submit(TaskOptions options = {}, Bytes payload = Bytes()) {
    if (options.pool == "default") options.pool = "native";
    if (!options.command) options.function = "f";
    TaskSubmission task;
    task.options = std::make_shared<const TaskOptions>(std::move(options));
    task.payload = std::move(payload);
    const auto submitted = engine_->Submit(kRoot, std::move(task));
    EXPECT_TRUE(submitted.ok()) << submitted.status();
    Pass();
    return submitted.ok() ? submitted->first : 0;
  }
  TaskInfo Info(TaskId id) { return *engine_->Get(kRoot, id); }
  // The ID of the task that the worker claims next; 0: none.
  static TaskId Claim(FakeWorker& worker) {
    const auto task = worker.Claim();
    return task ? task->fields.task_id : 0;
  }
  // Large tasks one by one, all finished but none released, until one finds no room. Returns it.
  TaskId FillWithFinishedTasks(FakeWorker& worker) {
    for (int i = 0; i < 100; ++i) {
      const TaskId id =
          Submit({}, Bytes(std::string(engine_->options().inline_threshold_bytes, 'x')));
      if (Claim(worker) == 0) return id;
      worker.Write(shm::RecordKind::kFinished, FakeWorker::Success(id));
      Pass();
    }
    ADD_FAILURE() << "the lane never became full";
    return 0;
  }
  static pool::WorkerExit Killed(int signal, pool::ExitReason reason) {
    pool::WorkerExit exit;
    exit.reason = reason;
    exit.wait_status = signal;
    return exit;
  }

  os::FakeClock clock_;
  std::map<std::string, FakeWorkerPool*> pools_;
  std::unique_ptr<EngineImpl> engine_;
};

TEST_F(EnginePassTest, ATaskGoesDownAndItsResultComesUp) {
  FakeWorker& worker = native().AddWorker();
  const TaskId id = Submit();
  EXPECT_EQ(Info(id).state, TaskState::kDispatched);
  EXPECT_EQ(Claim(worker), id);
  worker.Finish(id, "value");
  Pass();
  EXPECT_EQ(Info(id).state, TaskState::kSucceeded);
  EXPECT_EQ(Info(id).value.view(), "value");
  EXPECT_EQ(native().tasks_done, 1u);
}

TEST_F(EnginePassTest, AResultWrittenBeforeTheDeathCounts) {
  FakeWorker& worker = native().AddWorker();
  const TaskId id = Submit();
  Claim(worker);
  worker.Finish(id);
  native().EndWorker(worker, Killed(SIGKILL, pool::ExitReason::kCrashed));
  Pass();
  EXPECT_EQ(Info(id).state, TaskState::kSucceeded);
}

TEST_F(EnginePassTest, ATaskPublishedAndNotClaimedSurvivesItsWorker) {
  FakeWorker& first = native().AddWorker();
  const TaskId id = Submit();
  native().EndWorker(first, Killed(SIGKILL, pool::ExitReason::kCrashed));
  Pass();
  EXPECT_EQ(Info(id).state, TaskState::kQueued);
  FakeWorker& second = native().AddWorker();
  Pass();
  EXPECT_EQ(Claim(second), id);
  second.Finish(id);
  Pass();
  EXPECT_EQ(Info(id).state, TaskState::kSucceeded);
  EXPECT_EQ(Info(id).attempt, 1u);
  EXPECT_THAT(Info(id).earlier_attempts, IsEmpty());
}

TEST_F(EnginePassTest, AClaimedTaskEndsWithItsWorkerAndTheProvenCause) {
  FakeWorker& worker = native().AddWorker();
  const TaskId id = Submit();
  Claim(worker);
  pool::WorkerExit exit = Killed(SIGKILL, pool::ExitReason::kOutOfMemory);
  exit.out_of_memory = true;
  native().EndWorker(worker, exit);
  Pass();
  const TaskInfo task = Info(id);
  EXPECT_EQ(task.state, TaskState::kCrashed);
  EXPECT_EQ(task.exit_report->cause, EndCause::kOutOfMemory);
  EXPECT_TRUE(task.exit_report->out_of_memory);
}

TEST_F(EnginePassTest, NonsenseKillsTheWorkerAndIsTheCauseOfItsTasksEnd) {
  FakeWorker& worker = native().AddWorker();
  const TaskId id = Submit();
  Claim(worker);
  worker.Write(shm::RecordKind::kStarted, shm::StartedRecord{id + 1, 1});
  Pass();
  EXPECT_EQ(worker.kill_reason, pool::ExitReason::kProtocolViolation);
  EXPECT_THAT(worker.kill_detail, HasSubstr("a record about task"));
  const TaskId next = Submit();
  EXPECT_EQ(Info(next).state, TaskState::kQueued) << "a poisoned worker gets nothing more";
  pool::WorkerExit exit = Killed(SIGKILL, worker.kill_reason);
  exit.detail = worker.kill_detail;
  native().EndWorker(worker, exit);
  Pass();
  const TaskInfo task = Info(id);
  EXPECT_EQ(task.exit_report->cause, EndCause::kProtocolViolation);
  EXPECT_THAT(task.exit_report->detail, HasSubstr("broke the lane's protocol and was killed"));
  FakeWorker& healthy = native().AddWorker();
  Pass();
  EXPECT_EQ(Claim(healthy), next);
}

TEST_F(EnginePassTest, AWorkerOfFunctionsIsSignalledItselfAndNotUsedAgain) {
  FakeWorker& worker = native().AddWorker();
  const TaskId id = Submit();
  Claim(worker);
  worker.Write(shm::RecordKind::kStarted, shm::StartedRecord{id, 1});
  Pass();
  ASSERT_TRUE(engine_->Cancel(kRoot, id, false).ok());
  Pass();
  EXPECT_THAT(worker.signals, ElementsAre(Pair(SIGTERM, true)));
  EXPECT_EQ(worker.guest().status().cancelled_task.load(), id);
  EXPECT_EQ(worker.expected_end, pool::ExitReason::kTaskStopped);
  // The function was about to end anyway; the signal is still on its way to the process.
  worker.Finish(id);
  Pass();
  const TaskId next = Submit();
  EXPECT_EQ(Info(next).state, TaskState::kQueued);
  EXPECT_THAT(native().retired, ElementsAre(0u));
}

TEST_F(EnginePassTest, AWorkerOfProgramsIsLeftAloneWhenItsProgramIsStopped) {
  FakeWorkerPool& pool = *pools_["command"];
  FakeWorker& worker = pool.AddWorker();
  TaskOptions options;
  options.pool = "command";
  options.command.emplace().argv = {"sleep", "9"};
  const TaskId id = Submit(options);
  Claim(worker);
  worker.Write(shm::RecordKind::kStarted, shm::StartedRecord{id, 1});
  Pass();
  ASSERT_TRUE(engine_->Cancel(kRoot, id, false).ok());
  Pass();
  EXPECT_THAT(worker.signals, ElementsAre(Pair(SIGTERM, false)));
  EXPECT_EQ(worker.kill_reason, pool::ExitReason::kNone);
  clock_.Advance(absl::Seconds(6));
  Pass();
  EXPECT_EQ(worker.kill_reason, pool::ExitReason::kTaskStopped) << "after the grace period";
  EXPECT_THAT(pool.retired, IsEmpty());
}

TEST_F(EnginePassTest, AWorkerThatDoesNotTakeASegmentIsReplacedAndItsTaskRunsElsewhere) {
  FakeWorker& deaf = native().AddWorker();
  deaf.send_result = absl::UnavailableError("its control socket is full");
  const auto large = engine_->Pack(std::string(100'000, 'x'), 0);
  ASSERT_TRUE(large.ok());
  const TaskId id = Submit({}, *large);
  EXPECT_EQ(Info(id).state, TaskState::kQueued);
  EXPECT_THAT(native().retired, ElementsAre(0u));
  FakeWorker& other = native().AddWorker();
  Pass();
  EXPECT_EQ(Claim(other), id);
  EXPECT_THAT(other.segments, SizeIs(1));
}

TEST_F(EnginePassTest, ATaskMeantForAWorkerThatHasJustDiedRunsElsewhere) {
  FakeWorker& dead = native().AddWorker();
  dead.send_result = absl::AbortedError("the other side has closed the socket");
  const auto large = engine_->Pack(std::string(100'000, 'x'), 0);
  ASSERT_TRUE(large.ok());
  const TaskId id = Submit({}, *large);
  EXPECT_EQ(Info(id).state, TaskState::kQueued);
  native().EndWorker(dead, Killed(SIGKILL, pool::ExitReason::kCrashed));
  FakeWorker& other = native().AddWorker();
  Pass();
  EXPECT_EQ(Claim(other), id);
}

TEST_F(EnginePassTest, AShortageOfTheDaemonIsWaitedForAndNoFaultOfTheWorker) {
  FakeWorker& worker = native().AddWorker();
  worker.send_result = absl::ResourceExhaustedError("sendmsg: too many references");
  const auto large = engine_->Pack(std::string(100'000, 'x'), 0);
  ASSERT_TRUE(large.ok());
  const TaskId id = Submit({}, *large);
  clock_.Advance(absl::Minutes(1));
  Pass();
  EXPECT_EQ(worker.kill_reason, pool::ExitReason::kNone) << worker.kill_detail;
  EXPECT_THAT(native().retired, IsEmpty());
  EXPECT_EQ(Claim(worker), 0u);
  worker.send_result = absl::OkStatus();
  clock_.Advance(absl::Seconds(1));  // the longest that it may rest meanwhile
  Pass();
  EXPECT_EQ(Claim(worker), id);
}

TEST_F(EnginePassTest, ATaskThatWaitsForAShortageCanBeCancelled) {
  FakeWorker& worker = native().AddWorker();
  worker.send_result = absl::ResourceExhaustedError("sendmsg: too many references");
  const auto large = engine_->Pack(std::string(100'000, 'x'), 0);
  ASSERT_TRUE(large.ok());
  const TaskId id = Submit({}, *large);
  ASSERT_TRUE(engine_->Cancel(kRoot, id, false).ok());
  Pass();
  EXPECT_EQ(Info(id).state, TaskState::kCancelled);
  worker.send_result = absl::OkStatus();
  clock_.Advance(absl::Milliseconds(1));
  Pass();
  EXPECT_EQ(Claim(worker), 0u);
}

// A worker publishes its results first and gives the room back afterwards.
TEST_F(EnginePassTest, AWorkerThatIsAboutToGiveRoomBackIsWaitedFor) {
  FakeWorker& worker = native().AddWorker();
  const TaskId last = FillWithFinishedTasks(worker);
  EXPECT_EQ(worker.kill_reason, pool::ExitReason::kNone) << worker.kill_detail;
  worker.guest().down().Release();
  clock_.Advance(absl::Milliseconds(1));
  Pass();
  EXPECT_EQ(Claim(worker), last);
}

TEST_F(EnginePassTest, AWorkerThatTakesLongToGiveRoomBackRestsMeanwhile) {
  FakeWorker& worker = native().AddWorker();
  const TaskId last = FillWithFinishedTasks(worker);
  clock_.Advance(absl::Milliseconds(900));
  Pass();
  EXPECT_EQ(worker.kill_reason, pool::ExitReason::kNone) << worker.kill_detail;
  EXPECT_EQ(Info(last).state, TaskState::kQueued);
  worker.guest().down().Release();
  clock_.Advance(absl::Milliseconds(100));
  Pass();
  EXPECT_EQ(Claim(worker), last);
}

TEST_F(EnginePassTest, AWorkerThatNeverGivesRoomBackIsReplacedAndItsTaskRunsElsewhere) {
  FakeWorker& worker = native().AddWorker();
  const TaskId last = FillWithFinishedTasks(worker);
  clock_.Advance(absl::Seconds(2));
  Pass();
  EXPECT_EQ(worker.kill_reason, pool::ExitReason::kProtocolViolation);
  EXPECT_THAT(worker.kill_detail, HasSubstr("does not give the room"));
  FakeWorker& other = native().AddWorker();
  Pass();
  EXPECT_EQ(Claim(other), last);
}

TEST_F(EnginePassTest, AStoppedWorkerIsNotBlamedForItsFullLane) {
  FakeWorker& worker = native().AddWorker();
  worker.process = fork();
  if (worker.process == 0) {
    raise(SIGSTOP);
    _exit(0);
  }
  ASSERT_EQ(waitpid(worker.process, nullptr, WUNTRACED), worker.process);
  const TaskId last = FillWithFinishedTasks(worker);
  clock_.Advance(absl::Seconds(2));
  Pass();
  EXPECT_EQ(worker.kill_reason, pool::ExitReason::kNone) << worker.kill_detail;
  EXPECT_EQ(Info(last).state, TaskState::kQueued);
  ASSERT_EQ(kill(worker.process, SIGKILL), 0);
  ASSERT_EQ(waitpid(worker.process, nullptr, 0), worker.process);
}

TEST_F(EnginePassTest, ATaskThatAnIdleWorkerDoesNotTakeRunsElsewhere) {
  FakeWorker& sleeper = native().AddWorker();
  const TaskId id = Submit();
  FakeWorker& other = native().AddWorker();
  clock_.Advance(absl::Milliseconds(50));
  Pass();
  EXPECT_EQ(Claim(sleeper), 0u);
  EXPECT_EQ(Claim(other), id);
  other.Finish(id);
  Pass();
  EXPECT_EQ(Info(id).state, TaskState::kSucceeded);
  EXPECT_EQ(sleeper.kill_reason, pool::ExitReason::kNone) << sleeper.kill_detail;
}

TEST_F(EnginePassTest, RoomForAValueIsGivenToARunningTaskOnly) {
  FakeWorker& worker = native().AddWorker();
  native().observer().OnSegmentRequest(worker, 100'000);
  EXPECT_EQ(worker.denied, "no task is running");
  const TaskId id = Submit();
  Claim(worker);
  native().observer().OnSegmentRequest(worker, uint64_t{1} << 60);
  EXPECT_THAT(worker.denied, HasSubstr("the largest is"));
  native().observer().OnSegmentRequest(worker, 100'000);
  ASSERT_NE(worker.granted, nullptr);
  shm::FinishedRecord record = FakeWorker::Success(id);
  record.segment_id = worker.granted->id();
  record.value_bytes = 100'000;
  worker.Write(shm::RecordKind::kFinished, record);
  Pass();
  EXPECT_EQ(Info(id).value.size(), 100'000u);
}

TEST_F(EnginePassTest, ARequestForRoomIsAnsweredWhateverHappens) {
  FakeWorker& worker = native().AddWorker();
  Submit();
  Claim(worker);
  worker.send_result = absl::AbortedError("it is dead");
  native().observer().OnSegmentRequest(worker, 100'000);
  EXPECT_EQ(worker.denied, "") << "it needs no answer";
  worker.send_result = absl::ResourceExhaustedError("too many descriptors");
  native().observer().OnSegmentRequest(worker, 100'000);
  EXPECT_EQ(worker.denied, "too many descriptors");
  EXPECT_EQ(worker.kill_reason, pool::ExitReason::kNone);
  worker.deny_result = absl::ResourceExhaustedError("no memory for the message");
  native().observer().OnSegmentRequest(worker, 100'000);
  EXPECT_EQ(worker.kill_reason, pool::ExitReason::kTaskStopped);
  EXPECT_THAT(worker.kill_detail, HasSubstr("no memory for the message"));
}

TEST_F(EnginePassTest, OutputIsCreditedOnlyToTasksThatTheWorkerWasGiven) {
  FakeWorker& first = native().AddWorker();
  FakeWorker& second = native().AddWorker();
  const TaskId a = Submit();
  const TaskId b = Submit();
  ASSERT_NE(Info(a).worker, Info(b).worker);
  FakeWorker& of_a = Info(a).worker->first == 0 ? first : second;
  native().observer().OnOutput(of_a, 1, a, "mine");
  native().observer().OnOutput(of_a, 1, b, "forged");
  EXPECT_EQ(Info(a).stdout_bytes, 4u);
  EXPECT_EQ(Info(b).stdout_bytes, 0u);
}

TEST_F(EnginePassTest, ADedicatedTaskTellsWhyItsProcessCouldNotBeStarted) {
  TaskOptions options;
  options.dedicated = true;
  const TaskId id = Submit(options);
  ASSERT_THAT(native().dedicated_asked, ElementsAre(id));
  native().observer().OnDedicatedFailed(id, absl::ResourceExhaustedError("fork: EAGAIN"));
  Pass();
  EXPECT_EQ(Info(id).exit_report->cause, EndCause::kStartFailed);
  EXPECT_THAT(Info(id).exit_report->detail, HasSubstr("fork: EAGAIN"));
}

TEST_F(EnginePassTest, AFinishedTaskIsForgottenWhenItsTimeIsOver) {
  FakeWorker& worker = native().AddWorker();
  TaskOptions options;
  options.result_ttl = absl::Seconds(30);
  const TaskId id = Submit(options);
  Claim(worker);
  worker.Finish(id);
  Pass();
  clock_.Advance(absl::Seconds(29));
  Pass();
  EXPECT_TRUE(engine_->Get(kRoot, id).ok());
  clock_.Advance(absl::Seconds(2));
  Pass();
  EXPECT_EQ(engine_->Get(kRoot, id).status().code(), absl::StatusCode::kNotFound);
}

// A session with one task for which the engine stays awake.
class EngineLingerTest : public EnginePassTest {
 protected:
  EngineLingerTest() {
    EngineOptions engine_options;
    engine_options.usable_cpus = 2;
    StartEngine(nullptr, engine_options);
    worker_ = &native().AddWorker();
    SessionOptions session_options;
    session_options.caller = kRoot;
    const SessionId session = engine_->OpenSession(session_options, &sink_);
    TaskOptions options;
    options.pool = "native";
    options.function = "f";
    TaskSubmission task;
    task.options = std::make_shared<const TaskOptions>(options);
    engine_->SubmitBatch(session, {task});
    Pass();
  }

  RecordingSink sink_;
  FakeWorker* worker_;
};

TEST_F(EngineLingerTest, AQuickResultGoesOutWithItsVerdict) {
  EXPECT_EQ(sink_.flushes, 0u);
  worker_->Finish(Claim(*worker_), "quick");
  Pass();
  EXPECT_THAT(sink_.accepted, SizeIs(1));
  EXPECT_THAT(sink_.ends, SizeIs(1));
  EXPECT_EQ(sink_.flushes, 1u);
}

TEST_F(EngineLingerTest, AVerdictDoesNotWaitForASlowResult) {
  EXPECT_THAT(sink_.accepted, IsEmpty());
  clock_.Advance(absl::Milliseconds(1));
  Pass();
  EXPECT_THAT(sink_.accepted, SizeIs(1));
  EXPECT_EQ(sink_.flushes, 1u);
}

TEST_F(EnginePassTest, AResultWaitsForItsSessionWhateverTheBounds) {
  FakeWorker& worker = native().AddWorker();
  RecordingSink sink;
  SessionOptions session_options;
  session_options.caller = kRoot;
  const SessionId session = engine_->OpenSession(session_options, &sink);
  TaskOptions options;
  options.pool = "native";
  options.function = "f";
  options.result_ttl = absl::ZeroDuration();
  TaskSubmission task;
  task.options = std::make_shared<const TaskOptions>(options);
  engine_->SubmitBatch(session, {task});
  Pass();  // the acceptance went out; the sink is not writable any more
  const TaskId id = sink.accepted[0];
  Claim(worker);
  worker.Finish(id, "precious");
  Pass();
  clock_.Advance(absl::Hours(10));
  Pass();
  EXPECT_THAT(sink.ends, IsEmpty());
  EXPECT_TRUE(engine_->Get(kRoot, id).ok());
  engine_->SinkWritable(session);
  Pass();
  ASSERT_THAT(sink.ends, SizeIs(1));
  EXPECT_EQ(sink.ends[0].value, "precious");
  EXPECT_FALSE(engine_->Get(kRoot, id).ok()) << "delivered, and its time is over";
  engine_->CloseSession(session);
}

TEST_F(EnginePassTest, WhatAPoolSaysIsLoggedWithItsLevelAndCannotForgeAnother) {
  absl::StatusOr<os::Pipe> pipe = os::CreatePipe();
  ASSERT_TRUE(pipe.ok()) << pipe.status();
  log::Logger log(pipe->write_end.get(), log::Format::kJournal, log::Level::kInfo);
  StartEngine(&log);
  native().observer().OnPoolMessage(log::Level::kWarning, "zygote 7: \n<0>\x1b[2Jfire");
  native().observer().OnPoolMessage(log::Level::kDebug, "too small to be heard");
  char line[256];
  const ssize_t bytes = read(pipe->read_end.get(), line, sizeof line);
  ASSERT_GT(bytes, 0);
  EXPECT_EQ(std::string(line, bytes), "<4>zygote 7: \\x0a<0>\\x1b[2Jfire\n");
}

TEST_F(EnginePassTest, AQueuedTaskSaysThatItsPoolIsPausedOrWhyItIsDegraded) {
  const TaskId id = Submit();
  EXPECT_EQ(Info(id).waiting_for, "its pool has no worker yet");
  native().reason = "module not found";
  EXPECT_EQ(Info(id).waiting_for, "a worker; pool degraded: module not found");
  engine_->PausePool(kRoot, "native", true, [](const absl::StatusOr<PoolInfo>&) {});
  EXPECT_THAT(Info(id).waiting_for, HasSubstr("pool paused"));
}

TEST_F(EnginePassTest, AReloadThatFailsTwiceWithTheSameWordsIsAnsweredTwice) {
  native().AddWorker();
  std::vector<absl::Status> answers;
  for (size_t reload = 1; reload <= 2; ++reload) {
    engine_->ReloadPool(kRoot, "native", [&](const absl::StatusOr<PoolInfo>& pool) {
      answers.push_back(pool.status());
    });
    Pass();
    EXPECT_THAT(answers, SizeIs(reload - 1));
    native().reload_reason = "module not found";
    ++native().failures;
    native().observer().OnPoolChanged();
    Pass();
    ASSERT_THAT(answers, SizeIs(reload));
    EXPECT_THAT(std::string(answers.back().message()), HasSubstr("module not found"));
  }
}

TEST_F(EnginePassTest, AWatchOfAPoolThatDoesNotExistIsRefused) {
  RecordingSink sink;
  WatchOptions options;
  options.caller = kRoot;
  options.pools = true;
  options.pool_names = {"native", "nativ"};
  EXPECT_EQ(engine_->OpenWatch(options, &sink).status().code(), absl::StatusCode::kNotFound);
  options.pool_names = {};
  options.task_filter.pool = "nativ";
  EXPECT_EQ(engine_->OpenWatch(options, &sink).status().code(), absl::StatusCode::kNotFound);
  options.task_filter.pool = "native";
  EXPECT_TRUE(engine_->OpenWatch(options, &sink).ok());
}

TEST_F(EnginePassTest, APredecessorForgottenBetweenTwoBatchesOfAPassIsNotFollowed) {
  FakeWorker& worker = native().AddWorker();
  const TaskId first = Submit();
  Claim(worker);
  worker.Finish(first);
  Pass();
  TaskOptions after;
  after.pool = "native";
  after.function = "f";
  after.after = {first};
  TaskSubmission task;
  task.options = std::make_shared<const TaskOptions>(after);
  ASSERT_TRUE(engine_->Submit(kRoot, task).ok());
  TaskFilter filter;
  filter.ids = {first};
  ASSERT_TRUE(engine_->Delete(kRoot, filter).ok());
  EXPECT_EQ(engine_->Submit(kRoot, task).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(EnginePassTest, ASessionIsToldWhenAnotherOneTakesItsTaskOver) {
  FakeWorker& worker = native().AddWorker();
  RecordingSink first_sink;
  RecordingSink second_sink;
  SessionOptions session_options;
  session_options.caller = kRoot;
  const SessionId first = engine_->OpenSession(session_options, &first_sink);
  TaskOptions options;
  options.pool = "native";
  options.function = "f";
  TaskSubmission task;
  task.tag = 7;
  task.options = std::make_shared<const TaskOptions>(options);
  engine_->SubmitBatch(first, {task});
  Pass();
  engine_->SinkWritable(first);
  const TaskId id = first_sink.accepted[7];
  session_options.resume = {id};
  const SessionId second = engine_->OpenSession(session_options, &second_sink);
  Pass();
  engine_->SinkWritable(second);
  ASSERT_TRUE(first_sink.rejected.contains(7));
  EXPECT_EQ(first_sink.rejected[7].code(), absl::StatusCode::kAborted);
  EXPECT_EQ(ReasonOf(first_sink.rejected[7]), reason::kTakenOver);
  Claim(worker);
  worker.Finish(id);
  Pass();
  EXPECT_THAT(first_sink.ends, IsEmpty());
  ASSERT_THAT(second_sink.ends, SizeIs(1));
  EXPECT_EQ(second_sink.ends[0].task, id);
  engine_->CloseSession(first);
  engine_->CloseSession(second);
}

TEST_F(EnginePassTest, ATaskOfNoSessionOutlivesTheSessionThatResumesIt) {
  const TaskId id = Submit();
  RecordingSink sink;
  SessionOptions session_options;
  session_options.caller = kRoot;
  session_options.resume = {id};
  engine_->CloseSession(engine_->OpenSession(session_options, &sink));
  Pass();
  EXPECT_EQ(Info(id).state, TaskState::kQueued);
}

TEST_F(EnginePassTest, APoolSaysWhyItIsDegraded) {
  std::vector<PoolInfo> heard;
  engine_->SetReadinessListener([&](const std::vector<PoolInfo>& pools) { heard = pools; });
  native().reason = "module not found; check the path";
  native().observer().OnPoolChanged();
  Pass();
  ASSERT_THAT(heard, SizeIs(2));
  EXPECT_EQ(heard[1].state, PoolState::kDegraded);
  EXPECT_THAT(engine_->Status().warnings,
              ElementsAre("pool native: module not found; check the path"));
}

// Sessions whose results may take 100 kB.
class UnreadResultsTest : public EnginePassTest {
 protected:
  static constexpr size_t kMaxBytes = 100'000;
  static constexpr size_t kValueBytes = 10'000;

  UnreadResultsTest() {
    EngineOptions options;
    options.max_session_undelivered_bytes = kMaxBytes;
    StartEngine(nullptr, options);
  }
  SessionId Open(const std::string& client_name, EventSink* sink, size_t tasks) {
    SessionOptions options;
    options.caller = kRoot;
    options.client_name = client_name;
    const SessionId session = engine_->OpenSession(options, sink);
    std::vector<TaskSubmission> batch(tasks);
    for (size_t i = 0; i < tasks; ++i) {
      TaskOptions task;
      task.pool = "native";
      task.function = "f";
      batch[i].options = std::make_shared<const TaskOptions>(std::move(task));
      batch[i].tag = i;
    }
    engine_->SubmitBatch(session, std::move(batch));
    Pass();
    return session;
  }
  // Runs what the worker is given, at most `most` tasks; returns how many that were.
  size_t Work(FakeWorker& worker, size_t most = 1'000) {
    for (size_t done = 0; done < most; ++done) {
      const TaskId id = Claim(worker);
      if (id == 0) return done;
      worker.Finish(id, std::string(kValueBytes, 'v'));
      Pass();
    }
    return most;
  }
};

TEST_F(UnreadResultsTest, AClientThatDoesNotReadGetsNoMoreWorkAndOthersDo) {
  FakeWorker& worker = native().AddWorker();
  RecordingSink sink;
  const SessionId session = Open("slow", &sink, 100);  // its sink has taken the verdicts
  const size_t before = Work(worker);
  EXPECT_GE(before, kMaxBytes / kValueBytes - 1);
  EXPECT_LT(before, 2 * kMaxBytes / kValueBytes);
  EXPECT_TRUE(sink.paused);
  const TaskId other = Submit();
  EXPECT_EQ(Claim(worker), other);
  worker.Finish(other);
  Pass();
  EXPECT_EQ(Info(other).state, TaskState::kSucceeded);
  // It reads again: all its tasks have their ends, none is lost.
  for (int i = 0; i < 100 && sink.ends.size() < 100; ++i) {
    engine_->SinkWritable(session);
    Pass();
    Work(worker);
  }
  EXPECT_THAT(sink.ends, SizeIs(100));
  EXPECT_FALSE(sink.closed.has_value());
  EXPECT_FALSE(sink.paused);
}

TEST_F(UnreadResultsTest, WhatOutlivesTheSessionRunsWhenItIsGone) {
  FakeWorker& worker = native().AddWorker();
  RecordingSink sink;
  const SessionId session = Open("slow", &sink, 100);
  Work(worker);
  TaskOptions detached;
  detached.pool = "native";
  detached.function = "f";
  detached.detached = true;
  TaskSubmission task;
  task.options = std::make_shared<const TaskOptions>(std::move(detached));
  task.tag = 1'000;
  engine_->SubmitBatch(session, {task});
  Pass();
  EXPECT_EQ(Claim(worker), 0u);
  engine_->CloseSession(session);
  Pass();
  EXPECT_EQ(Work(worker), 1u);
}

TEST_F(UnreadResultsTest, ASessionBesideOthersOfItsClientIsEndedInstead) {
  FakeWorker& worker = native().AddWorker();
  RecordingSink beside;
  RecordingSink sink;
  Open("program", &beside, 0);
  Open("program", &sink, 100);
  Work(worker, 3 * kMaxBytes / kValueBytes);
  EXPECT_FALSE(sink.closed.has_value()) << "the other one would wait, too";
  Work(worker);
  ASSERT_TRUE(sink.closed.has_value());
  EXPECT_TRUE(absl::IsResourceExhausted(*sink.closed));
  EXPECT_THAT(std::string(sink.closed->message()), HasSubstr("that its client does not read"));
  EXPECT_FALSE(beside.closed.has_value());
}

TEST_F(EnginePassTest, AnOrderThatNobodyWaitsForIsForgotten) {
  FakeWorker& worker = native().AddWorker();
  const TaskId id = Submit();
  int answers = 0;
  const auto count = [&answers](const absl::StatusOr<PoolInfo>&) { ++answers; };
  const OrderId forgotten = engine_->DrainPool(kRoot, "native", count);
  const OrderId awaited = engine_->DrainPool(kRoot, "native", count);
  EXPECT_NE(forgotten, awaited);
  engine_->CancelOrder(forgotten);
  EXPECT_EQ(Claim(worker), id);
  worker.Finish(id);
  Pass();
  EXPECT_EQ(answers, 1);
  engine_->CancelOrder(awaited);  // of no effect any more
  EXPECT_EQ(engine_->DrainPool(kRoot, "no-such-pool", count), 0u);
  EXPECT_EQ(answers, 2);
}

}  // namespace
}  // namespace prefork::engine
