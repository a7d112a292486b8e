#ifndef PREFORK_SERVER_ENGINE_CORE_H_
#define PREFORK_SERVER_ENGINE_CORE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/log/logger.h"
#include "common/os/clock.h"
#include "common/os/event_loop.h"
#include "common/shm/segment.h"
#include "server/engine/client_keys.h"
#include "server/engine/event_log.h"
#include "server/engine/finished_tasks.h"
#include "server/engine/options.h"
#include "server/engine/request_ids.h"
#include "server/engine/sessions.h"
#include "server/engine/task_table.h"
#include "server/engine/waiters.h"
#include "server/scheduler/scheduler.h"

namespace prefork::engine {

class PoolTable;

// What the parts of the engine share: the tables, the scheduler and the time. Belongs to the
// engine's thread.
struct Core {
  Core(const EngineOptions& engine_options, os::Clock* engine_clock)
      : options(engine_options),
        clock(engine_clock),
        started_at(engine_clock->Wall()),
        segments(shm::SegmentPool::Create(engine_options.segments)),
        tasks(FirstTaskId(started_at)),
        log(engine_options.max_events, engine_options.max_event_bytes),
        finished(&tasks,
                 FinishedLimits{engine_options.result_ttl, engine_options.max_finished_tasks,
                                engine_options.max_finished_bytes}),
        request_ids(&tasks) {
    ReadClock();
  }
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  // Reads the clocks once for all that follows; a pass has one time.
  void ReadClock() {
    now_ns = clock->MonotonicNs();
    wall_ns = absl::ToUnixNanos(clock->Wall());
  }
  void Log(log::Level level, std::string_view line) const {
    if (options.log != nullptr) options.log->Write(level, line);
  }
  // The calendar's time of a monotonic moment that is not in the future.
  int64_t WallOf(int64_t monotonic_ns) const {
    return wall_ns - (now_ns > monotonic_ns ? now_ns - monotonic_ns : 0);
  }

  const EngineOptions options;
  os::Clock* const clock;
  os::EventLoop* loop = nullptr;
  const absl::Time started_at;
  int64_t now_ns = 0;   // monotonic
  int64_t wall_ns = 0;  // Unix

  const std::shared_ptr<shm::SegmentPool> segments;
  scheduler::Scheduler scheduler;
  TaskTable tasks;
  EventLog log;
  FinishedTasks finished;
  RequestIds request_ids;
  ClientKeys clients;
  Waiters waiters;
  Sessions sessions;
  const PoolTable* pools = nullptr;     // not owned; null in tests of single parts
  std::vector<std::string> pool_names;  // by key, of all pools there ever were
  size_t unfinished = 0;                // tasks
  bool draining = false;
};

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_CORE_H_
