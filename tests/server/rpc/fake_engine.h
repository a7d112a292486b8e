#ifndef PREFORK_TESTS_SERVER_RPC_FAKE_ENGINE_H_
#define PREFORK_TESTS_SERVER_RPC_FAKE_ENGINE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/os/event_loop.h"
#include "server/engine/engine.h"

namespace prefork::rpc {

// An engine without pools: accepts tasks and does with them what the test says. Its thread is real, so
// reactors meet it as they meet the true one. Public fields are of that thread: read and change them
// in RunOnThread.
class FakeEngine final : public engine::Engine {
 public:
  FakeEngine();
  ~FakeEngine() override;

  // Runs `work` on the engine's thread and waits for it.
  void RunOnThread(const std::function<void()>& work);

  struct Session {
    engine::SessionOptions options;
    engine::WatchOptions watch;
    engine::EventSink* sink = nullptr;
    bool flushed = false;  // and not yet taken back
    bool writable = true;  // false: the sink has said that SinkWritable will come
    // Events that the sink does not want yet.
    std::vector<std::function<void()>> held = {};
  };
  struct Task {
    engine::TaskInfo info;
    engine::Bytes payload;
    engine::SessionId session = 0;
    uint64_t tag = 0;
    std::map<engine::OutputStream, std::string> output;
  };
  std::map<engine::SessionId, Session> sessions;
  std::map<engine::TaskId, Task> tasks;
  std::vector<std::string> calls;  // "Cancel 7 force", ...
  static constexpr engine::OrderId kDrainOrder = 7;
  // What tasks end with as soon as they are submitted; null: they stay queued.
  std::function<std::string(const Task&)> answer;
  absl::Status refuse_submits;
  engine::EngineOptions engine_options;

  // Ends a task and tells its session, waits and watches.
  void Finish(engine::TaskId id, scheduler::TaskState state, std::string value);
  void AppendOutput(engine::TaskId id, engine::OutputStream stream, const std::string& bytes);
  // Tells all sinks what they were given since the last flush.
  void FlushSinks();

  void Start() override {}
  void Stop() override;
  void Post(absl::AnyInvocable<void()> work) override;
  shm::SegmentPool& segments() override { return *segments_; }
  absl::StatusOr<engine::Bytes> Pack(std::string bytes, uint32_t owner_uid) override;
  const engine::EngineOptions& options() const override { return engine_options; }
  bool EvictSegments(size_t size_bytes) override;

  engine::SessionId OpenSession(const engine::SessionOptions& options,
                                engine::EventSink* sink) override;
  void CloseSession(engine::SessionId session) override;
  void SubmitBatch(engine::SessionId session, std::vector<engine::TaskSubmission> batch) override;
  void RejectBatch(engine::SessionId session,
                   const std::vector<engine::Rejection>& rejected) override;
  void CancelTags(engine::SessionId session, const std::vector<uint64_t>& tags,
                  bool force) override;
  void SinkWritable(engine::SessionId session) override;
  absl::StatusOr<std::pair<engine::TaskId, bool>> Submit(const engine::Caller& caller,
                                                         engine::TaskSubmission task) override;
  absl::StatusOr<engine::TaskInfo> Get(const engine::Caller& caller,
                                       engine::TaskId id) const override;
  std::vector<engine::TaskInfo> List(const engine::Caller& caller, const engine::TaskFilter& filter,
                                     engine::TaskId cursor, bool newest_first, size_t limit,
                                     engine::TaskId* next) const override;
  absl::StatusOr<uint64_t> WhenTerminal(const engine::Caller& caller, engine::TaskId id,
                                        std::function<void(const engine::TaskInfo&)> done) override;
  void CancelWait(uint64_t wait_id) override;
  absl::Status Cancel(const engine::Caller& caller, engine::TaskId id, bool force) override;
  absl::Status SignalTask(const engine::Caller& caller, engine::TaskId id, int signal) override;
  absl::StatusOr<engine::TaskId> Retry(const engine::Caller& caller, engine::TaskId id) override;
  absl::StatusOr<size_t> Delete(const engine::Caller& caller,
                                const engine::TaskFilter& filter) override;
  absl::StatusOr<std::vector<OutputChunk>> ReadOutput(const engine::Caller& caller,
                                                      engine::TaskId id,
                                                      engine::OutputStream stream,
                                                      uint64_t offset) const override;
  absl::StatusOr<engine::SessionId> OpenWatch(const engine::WatchOptions& options,
                                              engine::EventSink* sink) override;
  absl::StatusOr<engine::PoolInfo> CreatePool(const engine::Caller& caller,
                                              const pool::PoolSpec& spec) override;
  absl::StatusOr<engine::PoolInfo> GetPool(const std::string& name) const override;
  std::vector<engine::PoolInfo> ListPools() const override { return {}; }
  engine::OrderId ScalePool(const engine::Caller& caller, const std::string& name, uint32_t size,
                            PoolDone done) override;
  engine::OrderId PausePool(const engine::Caller& caller, const std::string& name, bool paused,
                            PoolDone done) override;
  // Has no effect, ever.
  engine::OrderId DrainPool(const engine::Caller& caller, const std::string& name,
                            PoolDone done) override;
  engine::OrderId ReloadPool(const engine::Caller& caller, const std::string& name,
                             PoolDone done) override;
  engine::OrderId DeletePool(const engine::Caller& caller, const std::string& name, bool force,
                             PoolDone done) override;
  void CancelOrder(engine::OrderId order) override;
  std::vector<engine::WorkerInfo> ListWorkers(const std::string& pool) const override;
  absl::StatusOr<engine::WorkerInfo> SignalWorker(const engine::Caller& caller,
                                                  const std::string& pool, uint32_t index,
                                                  uint32_t generation, int signal) override;
  std::vector<engine::FunctionInfo> ListFunctions(const std::string& pool) const override;
  engine::StatusInfo Status() const override { return {}; }
  void Drain(absl::Duration timeout, std::function<void()> done) override;
  void SetReadinessListener(
      std::function<void(const std::vector<engine::PoolInfo>&)> changed) override;

 private:
  Task& Add(engine::TaskSubmission submission, const engine::Caller& caller);
  void Note(std::string call) { calls.push_back(std::move(call)); }

  std::unique_ptr<os::EventLoop> loop_;
  std::shared_ptr<shm::SegmentPool> segments_;
  std::map<uint64_t, std::pair<engine::TaskId, std::function<void(const engine::TaskInfo&)>>>
      waits_;
  std::set<engine::SessionId> touched_;
  uint64_t last_id_ = 0;
  std::thread thread_;
};

}  // namespace prefork::rpc

#endif  // PREFORK_TESTS_SERVER_RPC_FAKE_ENGINE_H_
