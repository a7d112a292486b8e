#ifndef PREFORK_SERVER_ENGINE_ENGINE_IMPL_H_
#define PREFORK_SERVER_ENGINE_ENGINE_IMPL_H_

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/os/event_loop.h"
#include "server/engine/admission.h"
#include "server/engine/core.h"
#include "server/engine/engine.h"
#include "server/engine/linger.h"
#include "server/engine/pool_entry.h"
#include "server/engine/pool_manager.h"
#include "server/engine/slot_lending.h"
#include "server/engine/task_life.h"
#include "server/engine/workers.h"
#include "server/pool/oom_proof.h"
#include "server/pool/orphan_reaper.h"

namespace prefork::engine {

// The engine: the loop, the pass, and the public methods, each of which checks who asks and hands
// on to the part that does it. Methods are in engine.cc (loop and pass), engine_sessions.cc,
// engine_tasks.cc and engine_pools.cc.
class EngineImpl final : public Engine {
 public:
  // `factory` null: real processes.
  static absl::StatusOr<std::unique_ptr<EngineImpl>> Create(const EngineOptions& options,
                                                            os::Clock* clock, PoolFactory factory);
  ~EngineImpl() override;

  void Start() override;
  void Stop() override;
  void Post(absl::AnyInvocable<void()> work) override;
  shm::SegmentPool& segments() override { return *core_.segments; }
  absl::StatusOr<Bytes> Pack(std::string bytes, uint32_t owner_uid) override;
  const EngineOptions& options() const override { return core_.options; }
  bool EvictSegments(size_t size_bytes) override;

  SessionId OpenSession(const SessionOptions& options, EventSink* sink) override;
  void CloseSession(SessionId session) override;
  void SubmitBatch(SessionId session, std::vector<TaskSubmission> tasks) override;
  void RejectBatch(SessionId session, const std::vector<Rejection>& rejected) override;
  void CancelTags(SessionId session, const std::vector<uint64_t>& tags, bool force) override;
  void SinkWritable(SessionId session) override;
  absl::StatusOr<SessionId> OpenWatch(const WatchOptions& options, EventSink* sink) override;

  absl::StatusOr<std::pair<TaskId, bool>> Submit(const Caller& caller,
                                                 TaskSubmission task) override;
  absl::StatusOr<TaskInfo> Get(const Caller& caller, TaskId id) const override;
  std::vector<TaskInfo> List(const Caller& caller, const TaskFilter& filter, TaskId cursor,
                             bool newest_first, size_t limit, TaskId* next) const override;
  absl::StatusOr<uint64_t> WhenTerminal(const Caller& caller, TaskId id,
                                        std::function<void(const TaskInfo&)> done) override;
  void CancelWait(uint64_t wait_id) override;
  absl::Status Cancel(const Caller& caller, TaskId id, bool force) override;
  absl::Status SignalTask(const Caller& caller, TaskId id, int signal) override;
  absl::StatusOr<TaskId> Retry(const Caller& caller, TaskId id) override;
  absl::StatusOr<size_t> Delete(const Caller& caller, const TaskFilter& filter) override;
  absl::StatusOr<std::vector<OutputChunk>> ReadOutput(const Caller& caller, TaskId id,
                                                      OutputStream stream,
                                                      uint64_t offset) const override;

  absl::StatusOr<PoolInfo> CreatePool(const Caller& caller, const pool::PoolSpec& spec) override;
  absl::StatusOr<PoolInfo> GetPool(const std::string& name) const override;
  std::vector<PoolInfo> ListPools() const override;
  OrderId ScalePool(const Caller& caller, const std::string& name, uint32_t size,
                    PoolDone done) override;
  OrderId PausePool(const Caller& caller, const std::string& name, bool paused,
                    PoolDone done) override;
  OrderId DrainPool(const Caller& caller, const std::string& name, PoolDone done) override;
  OrderId ReloadPool(const Caller& caller, const std::string& name, PoolDone done) override;
  OrderId DeletePool(const Caller& caller, const std::string& name, bool force,
                     PoolDone done) override;
  void CancelOrder(OrderId order) override { pool_manager_.CancelOrder(order); }
  std::vector<WorkerInfo> ListWorkers(const std::string& pool) const override;
  absl::StatusOr<WorkerInfo> SignalWorker(const Caller& caller, const std::string& pool,
                                          uint32_t index, uint32_t generation, int signal) override;
  std::vector<FunctionInfo> ListFunctions(const std::string& pool) const override;
  StatusInfo Status() const override;
  void Drain(absl::Duration timeout, std::function<void()> done) override;
  void SetReadinessListener(std::function<void(const std::vector<PoolInfo>&)> changed) override;

  // For tests that run the loop themselves instead of Start: what Start does on the thread.
  void StartPools();
  os::EventLoop& loop() { return *loop_; }
  Core& core() { return core_; }

 private:
  enum class DrainPhase : uint8_t { kNone, kFinishing, kCancelling, kEnding, kDelivering, kDone };

  EngineImpl(const EngineOptions& options, os::Clock* clock, PoolFactory factory);
  absl::Status Init();
  std::unique_ptr<pool::WorkerPool> MakePool(const pool::PoolSpec& spec,
                                             pool::PoolObserver* observer);

  TaskInfo Describe(TaskSlot slot) const;

  // The pass.
  bool RunPass();
  // After the sessions were flushed: stops giving work to clients that do not read, or goes on. True:
  // there may be something to dispatch.
  bool UpdateHolds();
  void ArmTimer();
  void ProceedDrain();
  void CancelAll();

  // The task, if the caller may know of it; else NOT_FOUND.
  absl::StatusOr<TaskSlot> FindTask(const Caller& caller, TaskId id) const;
  // Visits the tasks that the caller may see and that match, from `cursor` on, until `visit` returns
  // false.
  void ForEachMatch(const Caller& caller, const TaskFilter& filter, TaskId cursor, bool backwards,
                    const std::function<bool(TaskSlot, const TaskRecord&)>& visit) const;
  absl::Status CheckPrivileged(const Caller& caller, const std::string& what) const;
  absl::Status CheckWatchedPools(const WatchOptions& options) const;
  void Adopt(Session& session, TaskSlot slot, uint64_t tag);
  void SubmitOne(Session& session, TaskSubmission task);

  const PoolFactory given_factory_;
  Core core_;
  std::unique_ptr<os::EventLoop> loop_;
  pool::OomProof oom_proof_;
  std::unique_ptr<pool::OrphanReaper> orphans_;
  PoolTable pools_;
  TaskLife life_;
  Workers workers_;
  PoolManager pool_manager_;
  SlotLending lending_;
  Admission admission_;
  Linger linger_;
  std::vector<TaskSlot> delivered_;

  os::EventLoop::TimerId timer_ = 0;
  int64_t timer_ns_ = INT64_MAX;

  DrainPhase drain_phase_ = DrainPhase::kNone;
  int64_t drain_deadline_ns_ = INT64_MAX;
  std::vector<std::function<void()>> drain_done_;

  std::thread thread_;
};

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_ENGINE_IMPL_H_
