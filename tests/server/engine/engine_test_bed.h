#ifndef PREFORK_TESTS_SERVER_ENGINE_ENGINE_TEST_BED_H_
#define PREFORK_TESTS_SERVER_ENGINE_ENGINE_TEST_BED_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "server/engine/engine.h"
#include "tests/server/engine/recording_sink.h"

namespace prefork::engine {

inline constexpr Caller kRoot = {.uid = 0, .privileged = true};
inline constexpr absl::Duration kPatience = absl::Seconds(20);

// An engine with real worker processes and a few helpers to drive it from a test's thread. What is
// asked of the engine runs on its thread; waits have a deadline.
class EngineTestBed : public ::testing::Test {
 protected:
  // A pool of the runtime native with the module of the worker's tests, named "native".
  static pool::PoolSpec NativePool(uint32_t size);
  // A pool of the runtime command, named "default".
  static pool::PoolSpec CommandPool(uint32_t size);

  void StartEngine(std::vector<pool::PoolSpec> pools);
  void StartEngine(EngineOptions options);
  // Ends everything in order; fails the test when processes are left.
  void StopEngine();
  void TearDown() override;

  // Runs `work` on the engine's thread and returns what it returns.
  template <typename Work>
  auto Ask(Work work) -> decltype(work()) {
    using Answer = decltype(work());
    if constexpr (std::is_void_v<Answer>) {
      AskVoid(std::move(work));
    } else {
      std::optional<Answer> answer;
      AskVoid([&] { answer.emplace(work()); });
      return *std::move(answer);
    }
  }
  // Asks `condition` on the engine's thread after every change until it holds.
  ::testing::AssertionResult WaitUntil(const std::function<bool()>& condition,
                                       absl::Duration patience = kPatience);

  static TaskSubmission Function(const std::string& function, const std::string& payload = "",
                                 TaskOptions options = {});
  static TaskSubmission Command(std::vector<std::string> argv, TaskOptions options = {});

  // Submits as root and returns the ID.
  TaskId SubmitTask(TaskSubmission task);
  // The task once it is terminal.
  TaskInfo WaitFor(TaskId id);
  TaskInfo RunTask(TaskSubmission task) { return WaitFor(SubmitTask(std::move(task))); }
  // The state as Get tells.
  scheduler::TaskState StateOf(TaskId id);
  // Until the task runs.
  ::testing::AssertionResult WaitRunning(TaskId id);
  // Runs an order about a pool and waits for its effect.
  absl::StatusOr<PoolInfo> Order(std::function<void(Engine::PoolDone)> order);

  std::unique_ptr<Engine> engine_;

 private:
  void AskVoid(std::function<void()> work);
};

}  // namespace prefork::engine

#endif  // PREFORK_TESTS_SERVER_ENGINE_ENGINE_TEST_BED_H_
