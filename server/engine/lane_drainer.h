#ifndef PREFORK_SERVER_ENGINE_LANE_DRAINER_H_
#define PREFORK_SERVER_ENGINE_LANE_DRAINER_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "common/shm/lane_layout.h"
#include "server/engine/types.h"
#include "server/engine/worker_link.h"

namespace prefork::engine {

// What a worker said about the end of a task, checked.
struct FinishedReport {
  shm::TaskOutcome outcome = shm::TaskOutcome::kSucceeded;
  int wait_status = 0;  // with TaskOutcome::kExited
  int64_t started_ns = 0;
  int64_t finished_ns = 0;
  int64_t cpu_ns = -1;  // -1: not measured
  uint64_t peak_rss_bytes = 0;
  Bytes value;
  std::string content_type;
  std::string error;
};

// Hears what comes out of the lanes. `task` is in the link's lane and claimed by its worker.
class LaneListener {
 public:
  virtual ~LaneListener() = default;
  virtual void OnTaskStarted(WorkerLink& link, const InFlight& task, int64_t started_ns) = 0;
  // The task was taken out of the link.
  virtual void OnTaskFinished(WorkerLink& link, const InFlight& task, FinishedReport report) = 0;
  virtual void OnTaskProgress(WorkerLink& link, const InFlight& task, ProgressReport report) = 0;
  virtual void OnTaskPartial(WorkerLink& link, const InFlight& task, std::string value,
                             std::string content_type) = 0;
  // The worker wrote what no worker may write. The link is poisoned: nothing more is read.
  virtual void OnNonsense(WorkerLink& link, std::string what) = 0;
};

// Reads everything that is in the link's up queue now; what is written meanwhile only up to one
// ring's worth. Returns the number of records: unless it is 0 there may be more. Every record has to
// be about the oldest task of the lane, in the worker's possession, and whole.
size_t DrainLane(WorkerLink& link, LaneListener& listener);

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_LANE_DRAINER_H_
