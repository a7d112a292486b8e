#ifndef PREFORK_TESTS_SERVER_ENGINE_ENGINE_PASS_BED_H_
#define PREFORK_TESTS_SERVER_ENGINE_ENGINE_PASS_BED_H_

#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "server/engine/engine_impl.h"
#include "tests/common/os/fake_clock.h"
#include "tests/server/engine/fake_worker_pool.h"

namespace prefork::engine {

inline constexpr Caller kRoot = {.uid = 0, .privileged = true};

// The whole engine on a clock that the test moves, with workers that it plays: it goes on only when
// the test lets it, on the test's thread.
class PlayedEngine : public ::testing::Test {
 protected:
  // Ends the engine of before and starts one with these options.
  void StartEngine(const EngineOptions& options);

  // Passes until there is nothing more to do.
  void Pass();
  void Advance(absl::Duration by);

  // The function "f" in that pool.
  static TaskSubmission Function(const std::string& pool, TaskOptions options = {});
  // Submits as root and passes.
  absl::StatusOr<TaskId> TrySubmit(TaskSubmission task);
  // As root.
  SessionId OpenSession(EventSink* sink, SessionOptions options = {});
  TaskInfo Info(TaskId id) { return *engine_->Get(kRoot, id); }

  os::FakeClock clock_;
  std::map<std::string, FakeWorkerPool*> pools_;
  std::unique_ptr<EngineImpl> engine_;
};

// With the pools "native" and "command".
class EnginePassBed : public PlayedEngine {
 protected:
  EnginePassBed() { StartWithPools({}); }
  void StartWithPools(EngineOptions options);

  FakeWorkerPool& native() { return *pools_["native"]; }
  // A function of the pool "native" unless the options say otherwise; 0 when it is refused.
  TaskId Submit(TaskOptions options = {}, Bytes payload = Bytes());
  // The ID of the task that the worker claims next; 0: none.
  static TaskId Claim(FakeWorker& worker);
  static pool::WorkerExit Killed(int signal, pool::ExitReason reason);
};

}  // namespace prefork::engine

#endif  // PREFORK_TESTS_SERVER_ENGINE_ENGINE_PASS_BED_H_
