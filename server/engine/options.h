#ifndef PREFORK_SERVER_ENGINE_OPTIONS_H_
#define PREFORK_SERVER_ENGINE_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/log/logger.h"
#include "common/shm/segment.h"
#include "server/engine/types.h"
#include "server/pool/pool_spec.h"
#include "server/scheduler/types.h"

namespace prefork::engine {

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
  size_t max_events = 200'000;  // kept in the log
  size_t max_event_bytes = size_t{64} << 20;
  size_t max_payload_bytes = size_t{1} << 30;
  size_t inline_threshold_bytes = 16 << 10;  // larger payloads and values travel in segments
  // Over either of them a session's stream is not read: tasks and verdicts it has not got the end of,
  // and bytes of results it has not taken.
  size_t max_session_unfinished = 500'000;
  size_t max_session_undelivered_bytes = size_t{256} << 20;
  size_t max_pools = 256;
  size_t max_unused_pools = 16;  // of those with an idle_timeout, when another is made
  size_t usable_cpus = 1;  // with more than one the engine may stay awake for an answer (linger.h)
  shm::SegmentPoolOptions segments;
  log::Logger* log = nullptr;  // not owned; null: nothing is logged
};

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_OPTIONS_H_
