#ifndef PREFORK_TESTS_SERVER_POOL_POOL_TEST_BED_H_
#define PREFORK_TESTS_SERVER_POOL_POOL_TEST_BED_H_

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/os/event_loop.h"
#include "server/pool/oom_proof.h"
#include "server/pool/orphan_reaper.h"
#include "server/pool/pool_observer.h"
#include "server/pool/worker_pool.h"
#include "tests/common/os/fake_clock.h"

namespace prefork::pool {

// Writes down what a pool tells, and retires workers when asked to, as a good owner does.
class RecordingOwner : public PoolObserver {
 public:
  struct Ended {
    uint32_t index, generation;
    pid_t pid;
    bool dedicated;
    WorkerExit exit;
  };
  struct Output {
    int stream;
    uint64_t task_id;
    std::string bytes;
  };

  void OnWorkerStarting(Worker& worker) override;
  void OnWorkerReady(Worker& worker) override;
  void OnRetirementWanted(Worker& worker) override;
  void OnLaneReadable(Worker& worker) override;
  void OnOutput(Worker& worker, int stream, uint64_t task_id, std::string_view bytes) override;
  void OnSegmentRequest(Worker& worker, uint64_t size_bytes) override;
  void OnWorkerExited(Worker& worker, const WorkerExit& exit) override;
  void OnDedicatedFailed(uint64_t cookie, const absl::Status& why) override;
  void OnPoolChanged() override { ++changes; }
  void OnPoolMessage(log::Level level, std::string_view line) override {
    log.emplace_back(line);
    log_levels.push_back(level);
  }

  // Does the log have a line that contains `text`?
  bool Logged(const std::string& text) const;

  WorkerPool* pool = nullptr;
  bool retire_at_once = true;
  std::vector<std::string> events;  // "starting 0.1", "ready 0.1", "retire 0.1", "exited 0.1"
  std::vector<Worker*> ready;       // now
  std::vector<Worker*> wanted;      // to retire, when not retire_at_once
  std::vector<Ended> ended;
  std::vector<uint64_t> finished;  // task IDs
  std::vector<Output> outputs;
  std::vector<std::pair<uint64_t, absl::Status>> dedicated_failures;
  std::vector<uint64_t> segment_requests;
  std::vector<std::string> log;
  std::vector<log::Level> log_levels;  // of the lines of `log`
  int changes = 0;
};

// An event loop whose time only the test moves, real processes, and a check at the end that none is
// left.
class PoolTestBed : public ::testing::Test {
 protected:
  PoolTestBed();
  ~PoolTestBed() override;

  // A pool of fake zygotes (see fake_zygote.cc) of `size`.
  PoolSpec Spec(const std::string& zygote_mode, const std::string& worker_mode,
                uint32_t size) const;
  void StartPool(const PoolSpec& spec);
  // Ends the pool politely; fails the test when processes stay.
  void StopPool();

  // Runs the loop until `condition` holds; false after a generous real-time bound.
  bool RunUntil(const std::function<bool()>& condition);
  // Moves time on and handles what is due now.
  void Advance(absl::Duration by);
  bool RunUntilReady(size_t workers) {
    return RunUntil([&] { return owner.ready.size() == workers; });
  }
  // Like RunUntil, moving time on by `step` between looks, at most `steps` times.
  bool AdvanceUntil(absl::Duration step, int steps, const std::function<bool()>& condition);

  void Cure() const;
  // Publishes one task; see DoTask in fake_zygote.cc.
  static void SendTask(Worker& worker, uint64_t task_id, const std::string& function);

  os::FakeClock clock;
  std::unique_ptr<os::EventLoop> loop;
  std::unique_ptr<OrphanReaper> orphans;
  OomProof oom_proof{OomProofPaths{"/nonexistent", "/nonexistent", "/nonexistent"}};
  RecordingOwner owner;
  std::unique_ptr<WorkerPool> pool;
  std::string cure_file;
};

}  // namespace prefork::pool

#endif  // PREFORK_TESTS_SERVER_POOL_POOL_TEST_BED_H_
