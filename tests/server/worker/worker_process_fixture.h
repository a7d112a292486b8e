#ifndef PREFORK_TESTS_SERVER_WORKER_WORKER_PROCESS_FIXTURE_H_
#define PREFORK_TESTS_SERVER_WORKER_WORKER_PROCESS_FIXTURE_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/server/worker/fake_daemon.h"
#include "worker_programs.h"

namespace prefork::worker_testing {

// A zygote and one worker, both real processes.
class WorkerProcessFixture : public ::testing::Test {
 protected:
  // Starts both; the module is the test module unless another is given.
  void StartNative(bool dedicated = false, FakeDaemon::Options options = {}) {
    options.arguments = {"--runtime", "native", "--module", kTestModule};
    Start(std::move(options), dedicated);
  }
  void StartCommand(bool dedicated = false) {
    FakeDaemon::Options options;
    options.arguments = {"--runtime", "command"};
    Start(std::move(options), dedicated);
  }

  FakeDaemon& daemon() { return *daemon_; }
  FakeWorker& worker() { return *worker_; }

 private:
  void Start(FakeDaemon::Options options, bool dedicated) {
    if (options.program.empty()) options.program = kWorkerProgram;
    absl::StatusOr<std::unique_ptr<FakeDaemon>> daemon = FakeDaemon::Start(std::move(options));
    ASSERT_TRUE(daemon.ok()) << daemon.status();
    daemon_ = *std::move(daemon);
    const absl::StatusOr<zygote::Ready> ready = daemon_->Expect<zygote::Ready>();
    ASSERT_TRUE(ready.ok()) << ready.status();
    absl::StatusOr<std::unique_ptr<FakeWorker>> worker = daemon_->Fork(0, dedicated);
    ASSERT_TRUE(worker.ok()) << worker.status();
    worker_ = *std::move(worker);
  }

  std::unique_ptr<FakeDaemon> daemon_;
  std::unique_ptr<FakeWorker> worker_;
};

}  // namespace prefork::worker_testing

#endif  // PREFORK_TESTS_SERVER_WORKER_WORKER_PROCESS_FIXTURE_H_
