#ifndef PREFORK_SERVER_ENGINE_ENGINE_H_
#define PREFORK_SERVER_ENGINE_ENGINE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/os/event_loop.h"
#include "common/shm/segment.h"
#include "server/engine/types.h"
#include "server/pool/pool_spec.h"

namespace prefork::engine {

// Receives the events of one session or watch. Implemented by rpc. All methods run on the engine's thread and must not block.
// Flow: while writable, the engine calls Add* any number of times and then Flush once; from Flush until
// Engine::SinkWritable(id) it holds everything back (states and output may be merged or dropped, ends are kept).
class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void AddAccepted(uint64_t first_tag, TaskId first_id, uint64_t count) = 0;
  virtual void AddRejected(uint64_t tag, const absl::Status& why) = 0;
  // `tag` is 0 outside sessions.
  virtual void AddEvent(uint64_t tag, const EventRecord& event) = 0;
  // The end of a task: everything about it is valid during the call only. `report` may be null.
  virtual void AddFinished(uint64_t tag, const EventRecord& event, const Bytes& value, std::string_view content_type,
                           std::string_view error, const ExitReport* report,
                           const std::vector<ExitReport>* earlier) = 0;
  // Bytes added since the last Flush, roughly; the engine flushes at about 256 KiB.
  virtual size_t pending_bytes() const = 0;
  virtual void Flush() = 0;
  // Nothing more will come: shutdown, or the watcher fell too far behind (RESOURCE_EXHAUSTED, resume by sequence).
  virtual void Close(const absl::Status& why) = 0;
  // The session's tasks fill their share: stop (true) or go on (false) reading from the client.
  virtual void PauseReading(bool pause) = 0;
};

struct SessionOptions {
  Caller caller;
  std::string client_name;
  bool states = false, output = false, progress = false, exit_reports = false;
  std::vector<TaskId> resume;
};

struct TaskFilter {
  std::vector<TaskId> ids;
  std::string pool;
  std::vector<scheduler::TaskState> states;  // kQueued also stands for kWaiting
  std::map<std::string, std::string> labels;
};

struct WatchOptions {
  Caller caller;
  bool tasks = false, workers = false, pools = false;
  TaskFilter task_filter;
  std::vector<std::string> pool_names;  // workers, pools; empty: all
  bool output = false, progress = false;
  uint64_t after_sequence = 0;
  bool snapshot = false;
};

struct EngineOptions {
  std::string worker_program;
  std::vector<pool::PoolSpec> pools;
  absl::Duration result_ttl = absl::Hours(1);
  size_t max_finished_tasks = 100'000;
  size_t max_finished_bytes = size_t{512} << 20;
  size_t max_events = 200'000;          // kept in the log
  size_t max_event_bytes = size_t{64} << 20;
  size_t max_payload_bytes = size_t{1} << 30;
  size_t inline_threshold_bytes = 16 << 10;  // larger payloads and values travel in segments
  size_t max_session_unfinished = 500'000;   // over it the session's stream is not read
  size_t max_pools = 256;
  shm::SegmentPoolOptions segments;
};

// The one thread that owns all task and pool state; the design note is in engine.cc. rpc threads reach it with Post;
// all other methods belong to its thread.
class Engine {
 public:
  // `clock` is not owned. Fails when descriptors for the loop run out.
  static absl::StatusOr<std::unique_ptr<Engine>> Create(const EngineOptions& options, os::Clock* clock);
  virtual ~Engine();

  // Starts the thread and the configured pools. Thread-safe from here on: Post, segments, Stop.
  void Start();
  // Thread-safe. Runs `work` on the engine's thread; in order for each posting thread.
  void Post(std::function<void()> work);
  // Thread-safe: where large payloads are put before they are submitted.
  shm::SegmentPool& segments();
  // Puts bytes into the form the engine wants: inline or in a segment. Thread-safe.
  absl::StatusOr<Bytes> Pack(std::string bytes, uint32_t owner_uid);
  const EngineOptions& options() const;

  // --- sessions (engine thread) ---
  SessionId OpenSession(const SessionOptions& options, EventSink* sink);  // sink not owned, until CloseSession returns
  // Tasks that are not detached are cancelled with kClientGone.
  void CloseSession(SessionId session);
  // Verdicts go to the sink.
  void SubmitBatch(SessionId session, std::vector<TaskSubmission> tasks);
  void CancelTags(SessionId session, const std::vector<uint64_t>& tags, bool force);
  void SinkWritable(SessionId session);  // also for watches

  // --- tasks (engine thread) ---
  // The bool: an earlier submit with this request ID had made it.
  absl::StatusOr<std::pair<TaskId, bool>> Submit(const Caller& caller, TaskSubmission task);
  absl::StatusOr<TaskInfo> Get(const Caller& caller, TaskId id) const;
  // Tasks with an ID after (or, newest first, before) `cursor`; sets *next to the next cursor or 0.
  std::vector<TaskInfo> List(const Caller& caller, const TaskFilter& filter, TaskId cursor, bool newest_first,
                             size_t limit, TaskId* next) const;
  // `done` runs on the engine's thread once: at once when terminal, else at the end. Returns an ID for CancelWait (0: ran already).
  absl::StatusOr<uint64_t> WhenTerminal(const Caller& caller, TaskId id, std::function<void(const TaskInfo&)> done);
  void CancelWait(uint64_t wait_id);
  absl::Status Cancel(const Caller& caller, TaskId id, bool force);  // begun; use WhenTerminal for the end
  absl::Status SignalTask(const Caller& caller, TaskId id, int signal);
  absl::StatusOr<TaskId> Retry(const Caller& caller, TaskId id);
  absl::StatusOr<size_t> Delete(const Caller& caller, const TaskFilter& filter);  // terminal ones
  // Output kept from `offset` on: (offset of the first byte, bytes). Watch has the live rest.
  struct OutputChunk { OutputStream stream; uint64_t offset; std::string data; };
  absl::StatusOr<std::vector<OutputChunk>> ReadOutput(const Caller& caller, TaskId id, OutputStream stream, uint64_t offset) const;

  // --- watches (engine thread) ---
  // OUT_OF_RANGE when after_sequence is no longer kept. CloseSession ends it.
  absl::StatusOr<SessionId> OpenWatch(const WatchOptions& options, EventSink* sink);

  // --- pools and workers (engine thread). Only for privileged callers, else PERMISSION_DENIED ---
  absl::StatusOr<PoolInfo> CreatePool(const Caller& caller, const pool::PoolSpec& spec);
  absl::StatusOr<PoolInfo> GetPool(const std::string& name) const;
  std::vector<PoolInfo> ListPools() const;
  // `done` runs when the effect is real, with the pool as it is then.
  using PoolDone = std::function<void(absl::StatusOr<PoolInfo>)>;
  void ScalePool(const Caller& caller, const std::string& name, uint32_t size, PoolDone done);
  void PausePool(const Caller& caller, const std::string& name, bool paused, PoolDone done);
  void DrainPool(const Caller& caller, const std::string& name, PoolDone done);
  void ReloadPool(const Caller& caller, const std::string& name, PoolDone done);
  void DeletePool(const Caller& caller, const std::string& name, bool force, PoolDone done);
  std::vector<WorkerInfo> ListWorkers(const std::string& pool) const;
  absl::StatusOr<WorkerInfo> SignalWorker(const Caller& caller, const std::string& pool, uint32_t index,
                                          uint32_t generation, int signal);
  std::vector<FunctionInfo> ListFunctions(const std::string& pool) const;
  StatusInfo Status() const;

  // --- the end (engine thread) ---
  // Refuses submits from now on (UNAVAILABLE); `done` runs when nothing is unfinished or `timeout` has passed (then what is left
  // is CANCELLED with kShutdown), every process is gone, and all sinks were closed.
  void Drain(absl::Duration timeout, std::function<void()> done);
  // Thread-safe: ends the thread; joins it.
  void Stop();
  // Calls `changed` whenever a pool's ability to accept work changes (for health and readiness).
  void SetReadinessListener(std::function<void(const std::vector<PoolInfo>&)> changed);
};

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_ENGINE_H_
