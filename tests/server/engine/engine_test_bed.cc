#include "tests/server/engine/engine_test_bed.h"

#include <unistd.h>

#include <csignal>
#include <memory>
#include <optional>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "common/os/process_tree.h"
#include "common/os/signal.h"
#include "worker_programs.h"

namespace prefork::engine {

pool::PoolSpec EngineTestBed::NativePool(uint32_t size) {
  pool::PoolSpec spec;
  spec.name = "native";
  spec.runtime = pool::Runtime::kNative;
  spec.modules = {worker_testing::kTestModule};
  spec.size = size;
  return spec;
}

pool::PoolSpec EngineTestBed::CommandPool(uint32_t size) {
  pool::PoolSpec spec;
  spec.name = "default";
  spec.runtime = pool::Runtime::kCommand;
  spec.size = size;
  return spec;
}

void EngineTestBed::StartEngine(std::vector<pool::PoolSpec> pools) {
  EngineOptions options;
  options.pools = std::move(pools);
  StartEngine(std::move(options));
}

void EngineTestBed::StartEngine(EngineOptions options) {
  ASSERT_TRUE(os::BlockSignals({SIGCHLD}).ok());
  options.worker_program = worker_testing::kWorkerProgram;
  absl::StatusOr<std::unique_ptr<Engine>> engine = Engine::Create(options, os::Clock::System());
  ASSERT_TRUE(engine.ok()) << engine.status();
  engine_ = *std::move(engine);
  engine_->Start();
}

void EngineTestBed::StopEngine() {
  absl::Notification drained;
  Ask([&] { engine_->Drain(absl::ZeroDuration(), [&] { drained.Notify(); }); });
  EXPECT_TRUE(drained.WaitForNotificationWithTimeout(kPatience)) << "the engine does not drain";
  engine_->Stop();
  engine_.reset();
  EXPECT_TRUE(os::ListChildren(getpid()).empty()) << "processes are left";
}

void EngineTestBed::TearDown() {
  if (engine_) StopEngine();
}

void EngineTestBed::AskVoid(std::function<void()> work) {
  absl::Notification asked;
  engine_->Post([&] {
    work();
    asked.Notify();
  });
  asked.WaitForNotification();
}

::testing::AssertionResult EngineTestBed::WaitUntil(const std::function<bool()>& condition,
                                                    absl::Duration patience) {
  const absl::Time deadline = absl::Now() + patience;
  // The engine tells every change of a task, worker or pool in its log; a watch is asked after each.
  struct Waker : RecordingSink {
    void Flush() override {
      RecordingSink::Flush();
      absl::MutexLock lock(&mutex);
      ++changes;
    }
    absl::Mutex mutex;
    uint64_t changes ABSL_GUARDED_BY(mutex) = 0;
  };
  Waker waker;
  WatchOptions options;
  options.caller = kRoot;
  options.tasks = options.workers = options.pools = options.output = options.progress = true;
  const SessionId watch = Ask([&] { return *engine_->OpenWatch(options, &waker); });
  bool holds = false;
  uint64_t seen = 0;
  while (!(holds = Ask(condition)) && absl::Now() < deadline) {
    {
      absl::MutexLock lock(&waker.mutex);
      const auto changed = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(waker.mutex) {
        return waker.changes != seen;
      };
      // Not everything has an event (output that was kept, a signal): ask again now and then.
      waker.mutex.AwaitWithTimeout(absl::Condition(&changed), absl::Milliseconds(20));
      seen = waker.changes;
    }
    Ask([&] { engine_->SinkWritable(watch); });
  }
  Ask([&] { engine_->CloseSession(watch); });
  if (holds) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << "the condition did not come true in " << absl::FormatDuration(patience);
}

TaskSubmission EngineTestBed::Function(const std::string& function, const std::string& payload,
                                       TaskOptions options) {
  options.pool = options.pool == "default" ? "native" : options.pool;
  options.function = function;
  TaskSubmission task;
  task.options = std::make_shared<const TaskOptions>(std::move(options));
  task.payload = Bytes(payload);
  return task;
}

TaskSubmission EngineTestBed::Command(std::vector<std::string> argv, TaskOptions options) {
  options.command = CommandSpec{.argv = std::move(argv), .env = {}, .cwd = {}, .limits = {}};
  TaskSubmission task;
  task.options = std::make_shared<const TaskOptions>(std::move(options));
  return task;
}

TaskId EngineTestBed::SubmitTask(TaskSubmission task) {
  const auto submitted = Ask([&] { return engine_->Submit(kRoot, std::move(task)); });
  EXPECT_TRUE(submitted.ok()) << submitted.status();
  return submitted.ok() ? submitted->first : 0;
}

TaskInfo EngineTestBed::WaitFor(TaskId id) {
  // Shared, because the answer may come after the patience is over.
  struct Answer {
    absl::Notification there;
    TaskInfo info;
  };
  const auto answer = std::make_shared<Answer>();
  const absl::Status asked = Ask([&] {
    return engine_
        ->WhenTerminal(kRoot, id,
                       [answer](const TaskInfo& info) {
                         answer->info = info;
                         answer->there.Notify();
                       })
        .status();
  });
  EXPECT_TRUE(asked.ok()) << asked;
  const bool ended = asked.ok() && answer->there.WaitForNotificationWithTimeout(kPatience);
  EXPECT_TRUE(ended) << "task " << id << " does not end";
  return ended ? answer->info : TaskInfo();
}

scheduler::TaskState EngineTestBed::StateOf(TaskId id) {
  const auto info = Ask([&] { return engine_->Get(kRoot, id); });
  EXPECT_TRUE(info.ok()) << info.status();
  return info.ok() ? info->state : scheduler::TaskState::kQueued;
}

::testing::AssertionResult EngineTestBed::WaitRunning(TaskId id) {
  return WaitUntil([this, id] {
    const absl::StatusOr<TaskInfo> info = engine_->Get(kRoot, id);
    return info.ok() && info->state == scheduler::TaskState::kRunning;
  });
}

absl::StatusOr<PoolInfo> EngineTestBed::Order(std::function<void(Engine::PoolDone)> order) {
  struct Answer {
    absl::Notification there;
    absl::StatusOr<PoolInfo> pool = absl::UnknownError("no answer");
  };
  const auto answer = std::make_shared<Answer>();
  Ask([&] {
    order([answer](absl::StatusOr<PoolInfo> pool) {
      answer->pool = std::move(pool);
      answer->there.Notify();
    });
  });
  EXPECT_TRUE(answer->there.WaitForNotificationWithTimeout(kPatience)) << "the order has no effect";
  return answer->pool;
}

}  // namespace prefork::engine
