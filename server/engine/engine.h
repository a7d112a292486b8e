#ifndef PREFORK_SERVER_ENGINE_ENGINE_H_
#define PREFORK_SERVER_ENGINE_ENGINE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/os/clock.h"
#include "common/shm/segment.h"
#include "server/engine/event_sink.h"
#include "server/engine/options.h"
#include "server/engine/types.h"
#include "server/pool/pool_spec.h"

namespace prefork::engine {

// The one thread that owns all task and pool state; the design note is in engine.cc. rpc threads
// reach it with Post; all other methods belong to its thread. Errors carry a reason (errors.h).
class Engine {
 public:
  // `clock` is not owned. Fails when descriptors for the loop run out.
  static absl::StatusOr<std::unique_ptr<Engine>> Create(const EngineOptions& options,
                                                        os::Clock* clock);
  virtual ~Engine() = default;

  // --- any thread ---
  // Starts the thread and the configured pools. Once.
  virtual void Start() = 0;
  // Ends the thread and joins it; what is left of the pools is killed. Idempotent. Not from the
  // engine's own thread.
  virtual void Stop() = 0;
  // Runs `work` on the engine's thread; in order for each posting thread. After Stop it is dropped.
  virtual void Post(absl::AnyInvocable<void()> work) = 0;
  // Where large payloads are put before they are submitted.
  virtual shm::SegmentPool& segments() = 0;
  // Puts bytes into the form the engine wants: inline or in a segment. When no memory for a segment
  // is left they stay inline, and the submit makes room or is refused. INVALID_ARGUMENT over
  // max_payload_bytes.
  virtual absl::StatusOr<Bytes> Pack(std::string bytes, uint32_t owner_uid) = 0;
  virtual const EngineOptions& options() const = 0;

  // Makes room for a segment of `size_bytes`: forgets finished tasks that hold some, the oldest
  // first. False: there are none left.
  virtual bool EvictSegments(size_t size_bytes) = 0;

  // --- sessions ---
  // `sink` is not owned and stays until CloseSession has returned.
  virtual SessionId OpenSession(const SessionOptions& options, EventSink* sink) = 0;
  // Also for watches. A session's tasks that are not detached are cancelled with kClientGone.
  virtual void CloseSession(SessionId session) = 0;
  // Verdicts go to the sink.
  virtual void SubmitBatch(SessionId session, std::vector<TaskSubmission> tasks) = 0;
  // Refusals that rpc made itself; they reach the sink among the other verdicts.
  virtual void RejectBatch(SessionId session, const std::vector<Rejection>& rejected) = 0;
  virtual void CancelTags(SessionId session, const std::vector<uint64_t>& tags, bool force) = 0;
  // Also for watches: what was flushed last is on its way, or the sink wants events again.
  virtual void SinkWritable(SessionId session) = 0;

  // --- tasks ---
  // The bool: an earlier submit with this request ID had made it.
  virtual absl::StatusOr<std::pair<TaskId, bool>> Submit(const Caller& caller,
                                                         TaskSubmission task) = 0;
  virtual absl::StatusOr<TaskInfo> Get(const Caller& caller, TaskId id) const = 0;
  // Tasks with an ID after (or, newest first, before) `cursor`, 0 being the beginning; sets *next
  // to the cursor of the rest, or 0.
  virtual std::vector<TaskInfo> List(const Caller& caller, const TaskFilter& filter, TaskId cursor,
                                     bool newest_first, size_t limit, TaskId* next) const = 0;
  // `done` runs on the engine's thread once: at once when terminal, else at the end. Returns an ID
  // for CancelWait (0: ran already).
  virtual absl::StatusOr<uint64_t> WhenTerminal(const Caller& caller, TaskId id,
                                                std::function<void(const TaskInfo&)> done) = 0;
  virtual void CancelWait(uint64_t wait_id) = 0;
  // The cancellation has begun; WhenTerminal tells its end. OK for a terminal task.
  virtual absl::Status Cancel(const Caller& caller, TaskId id, bool force) = 0;
  // FAILED_PRECONDITION unless the task runs.
  virtual absl::Status SignalTask(const Caller& caller, TaskId id, int signal) = 0;
  // The same work as a new task. FAILED_PRECONDITION unless it is terminal.
  virtual absl::StatusOr<TaskId> Retry(const Caller& caller, TaskId id) = 0;
  // Forgets terminal tasks. With IDs in the filter: NOT_FOUND for an unknown one,
  // FAILED_PRECONDITION for one that is not terminal.
  virtual absl::StatusOr<size_t> Delete(const Caller& caller, const TaskFilter& filter) = 0;
  struct OutputChunk {
    OutputStream stream;
    uint64_t offset;
    std::string data;
  };
  // Output kept from `offset` on; a gap between chunks was dropped. Watch has the live rest.
  virtual absl::StatusOr<std::vector<OutputChunk>> ReadOutput(const Caller& caller, TaskId id,
                                                              OutputStream stream,
                                                              uint64_t offset) const = 0;

  // --- watches ---
  // OUT_OF_RANGE, naming the oldest event kept, when after_sequence is no longer kept. CloseSession
  // ends it.
  virtual absl::StatusOr<SessionId> OpenWatch(const WatchOptions& options, EventSink* sink) = 0;

  // --- pools and workers ---
  // Changes are for privileged callers, else PERMISSION_DENIED.
  virtual absl::StatusOr<PoolInfo> CreatePool(const Caller& caller, const pool::PoolSpec& spec) = 0;
  virtual absl::StatusOr<PoolInfo> GetPool(const std::string& name) const = 0;
  virtual std::vector<PoolInfo> ListPools() const = 0;
  // `done` runs once, when the effect is real, with the pool as it is then. The ID is 0 when it ran
  // already.
  using PoolDone = std::function<void(absl::StatusOr<PoolInfo>)>;
  virtual OrderId ScalePool(const Caller& caller, const std::string& name, uint32_t size,
                            PoolDone done) = 0;
  // Going on also ends a drain.
  virtual OrderId PausePool(const Caller& caller, const std::string& name, bool paused,
                            PoolDone done) = 0;
  virtual OrderId DrainPool(const Caller& caller, const std::string& name, PoolDone done) = 0;
  virtual OrderId ReloadPool(const Caller& caller, const std::string& name, PoolDone done) = 0;
  virtual OrderId DeletePool(const Caller& caller, const std::string& name, bool force,
                             PoolDone done) = 0;
  // Nobody waits for the effect any more: `done` does not run. What was ordered stays so.
  virtual void CancelOrder(OrderId order) = 0;
  // Of one pool, or of all when empty.
  virtual std::vector<WorkerInfo> ListWorkers(const std::string& pool) const = 0;
  // `generation` 0: whichever is in the slot; else FAILED_PRECONDITION when another one is.
  virtual absl::StatusOr<WorkerInfo> SignalWorker(const Caller& caller, const std::string& pool,
                                                  uint32_t index, uint32_t generation,
                                                  int signal) = 0;
  virtual std::vector<FunctionInfo> ListFunctions(const std::string& pool) const = 0;
  virtual StatusInfo Status() const = 0;

  // --- the end ---
  // Refuses submits from now on (UNAVAILABLE). `done` runs when nothing is unfinished or `timeout`
  // has passed (then what is left is CANCELLED with kShutdown), every process is gone, and all
  // sinks were closed.
  virtual void Drain(absl::Duration timeout, std::function<void()> done) = 0;
  // Calls `changed` now and whenever a pool's state changes (for health and readiness).
  virtual void SetReadinessListener(std::function<void(const std::vector<PoolInfo>&)> changed) = 0;
};

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_ENGINE_H_
