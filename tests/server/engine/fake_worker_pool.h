#ifndef PREFORK_TESTS_SERVER_ENGINE_FAKE_WORKER_POOL_H_
#define PREFORK_TESTS_SERVER_ENGINE_FAKE_WORKER_POOL_H_

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "server/pool/worker_pool.h"
#include "tests/server/engine/fake_worker.h"

namespace prefork::engine {

// A pool without processes: workers come and go when the test says so.
class FakeWorkerPool : public pool::WorkerPool {
 public:
  FakeWorkerPool(const pool::PoolSpec& spec, pool::PoolObserver* observer)
      : spec_(spec), observer_(observer) {}

  const pool::PoolSpec& spec() const override { return spec_; }
  void Start() override {}
  void Resize(uint32_t size) override { spec_.size = size; }
  void Lend(uint32_t workers) override { lent_ = workers; }
  uint32_t lent() const override { return lent_; }
  void Reload() override {}
  void StartDedicated(uint64_t cookie) override { dedicated_asked.push_back(cookie); }
  bool WantsRetirement(const pool::Worker&) const override { return false; }
  void RetireWorker(pool::Worker& worker) override { retired.push_back(worker.index()); }
  void TasksDone(pool::Worker&, uint64_t count) override { tasks_done += count; }
  void Shutdown(absl::Duration, std::function<void()> done) override { shutdown = std::move(done); }
  bool degraded() const override { return !reason.empty(); }
  std::string degraded_reason() const override { return reason.empty() ? reload_reason : reason; }
  uint64_t failed_starts() const override { return failures; }
  int32_t zygote_pid() const override { return 1; }
  uint32_t starting() const override { return 0; }
  uint64_t unexpected_exits() const override { return 0; }
  const std::vector<std::string>& functions() const override { return functions_; }
  const std::vector<pool::Worker*>& workers() const override { return list_; }

  // A worker is forked and ready.
  FakeWorker& AddWorker(bool dedicated = false, uint64_t cookie = 0) {
    const auto index = static_cast<uint32_t>(workers_.size());
    workers_.push_back(std::make_unique<FakeWorker>(index, 1, dedicated, cookie));
    FakeWorker& worker = *workers_.back();
    list_.push_back(&worker);
    observer_->OnWorkerStarting(worker);
    observer_->OnWorkerReady(worker);
    return worker;
  }
  // Its process is gone.
  void EndWorker(FakeWorker& worker, const pool::WorkerExit& exit) {
    observer_->OnLaneReadable(worker);
    std::erase(list_, &worker);
    observer_->OnWorkerExited(worker, exit);
  }
  pool::PoolObserver& observer() { return *observer_; }

  std::vector<uint64_t> dedicated_asked;
  std::vector<uint32_t> retired;  // indices
  uint64_t tasks_done = 0;
  std::function<void()> shutdown;
  std::string reason;         // degraded when there is one
  std::string reload_reason;  // said beside a pool that goes on
  uint64_t failures = 0;      // of starting zygotes

 private:
  pool::PoolSpec spec_;
  uint32_t lent_ = 0;
  pool::PoolObserver* const observer_;
  std::vector<std::unique_ptr<FakeWorker>> workers_;
  std::vector<pool::Worker*> list_;
  std::vector<std::string> functions_;
};

}  // namespace prefork::engine

#endif  // PREFORK_TESTS_SERVER_ENGINE_FAKE_WORKER_POOL_H_
