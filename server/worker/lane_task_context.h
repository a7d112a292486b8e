#ifndef PREFORK_SERVER_WORKER_LANE_TASK_CONTEXT_H_
#define PREFORK_SERVER_WORKER_LANE_TASK_CONTEXT_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/shm/lane.h"
#include "server/worker/daemon_link.h"
#include "server/worker/result_publisher.h"
#include "server/worker/runtime.h"

namespace prefork::worker {

// Serves the running task from the worker's lane and control socket. Reused from task to task.
class LaneTaskContext : public TaskContext {
 public:
  // Nothing is owned.
  LaneTaskContext(shm::LaneGuest* lane, ResultPublisher* publisher, DaemonLink* link)
      : status_(&lane->status()),
        worker_index_(lane->worker_index()),
        publisher_(publisher),
        link_(link) {}

  void Begin(uint64_t task_id);

  bool Cancelled() const override;
  void Progress(double done, double total, std::string_view text) override;
  absl::Status Emit(std::string_view value, std::string_view content_type) override;
  absl::StatusOr<std::span<char>> AllocateValue(size_t size_bytes) override;
  absl::StatusOr<std::span<char>> KeepPayload(uint64_t payload_segment) override {
    return link_->LeaveCopy(payload_segment);
  }
  uint32_t worker_index() const override { return worker_index_; }
  void WaitReadable(int fd) override;

  // What AllocateValue made room for, filled by the task.
  ResultPublisher::Value allocated() const;

 private:
  shm::LaneStatus* status_;
  uint32_t worker_index_;
  ResultPublisher* publisher_;
  DaemonLink* link_;
  uint64_t task_id_ = 0;
  bool has_allocated_ = false;
  std::string small_value_;           // an allocated value that travels inline
  uint64_t segment_id_ = 0;           // or 0
  uint64_t segment_value_bytes_ = 0;  // of the value in it
};

}  // namespace prefork::worker

#endif  // PREFORK_SERVER_WORKER_LANE_TASK_CONTEXT_H_
