#include "tests/server/engine/engine_pass_bed.h"

#include <utility>

namespace prefork::engine {

void PlayedEngine::StartEngine(const EngineOptions& options) {
  engine_.reset();
  auto engine = EngineImpl::Create(
      options, &clock_, [this](const pool::PoolSpec& spec, pool::PoolObserver* observer) {
        auto pool = std::make_unique<FakeWorkerPool>(spec, observer);
        pools_[spec.name] = pool.get();
        return pool;
      });
  ASSERT_TRUE(engine.ok()) << engine.status();
  engine_ = *std::move(engine);
  engine_->StartPools();
}

void PlayedEngine::Pass() {
  for (int i = 0; i < 4; ++i) engine_->loop().RunOnce(0);
}

void PlayedEngine::Advance(absl::Duration by) {
  clock_.Advance(by);
  Pass();
}

TaskSubmission PlayedEngine::Function(const std::string& pool, TaskOptions options) {
  options.pool = pool;
  options.function = "f";
  TaskSubmission task;
  task.options = std::make_shared<const TaskOptions>(std::move(options));
  return task;
}

absl::StatusOr<TaskId> PlayedEngine::TrySubmit(TaskSubmission task) {
  const auto submitted = engine_->Submit(kRoot, std::move(task));
  Pass();
  if (!submitted.ok()) return submitted.status();
  return submitted->first;
}

SessionId PlayedEngine::OpenSession(EventSink* sink, SessionOptions options) {
  options.caller.uid = kRoot.uid;
  options.caller.privileged = kRoot.privileged;
  return engine_->OpenSession(options, sink);
}

void EnginePassBed::StartWithPools(EngineOptions options) {
  pool::PoolSpec native;
  native.name = "native";
  native.runtime = pool::Runtime::kNative;
  native.task_grace = absl::Seconds(5);
  pool::PoolSpec command;
  command.name = "command";
  command.runtime = pool::Runtime::kCommand;
  options.pools = {native, command};
  StartEngine(options);
}

TaskId EnginePassBed::Submit(TaskOptions options, Bytes payload) {
  if (options.pool == "default") options.pool = "native";
  if (!options.command) options.function = "f";
  TaskSubmission task;
  task.options = std::make_shared<const TaskOptions>(std::move(options));
  task.payload = std::move(payload);
  const absl::StatusOr<TaskId> id = TrySubmit(std::move(task));
  EXPECT_TRUE(id.ok()) << id.status();
  return id.value_or(0);
}

TaskId EnginePassBed::Claim(FakeWorker& worker) {
  const auto task = worker.Claim();
  return task ? task->fields.task_id : 0;
}

pool::WorkerExit EnginePassBed::Killed(int signal, pool::ExitReason reason) {
  pool::WorkerExit exit;
  exit.reason = reason;
  exit.wait_status = signal;
  return exit;
}

}  // namespace prefork::engine
