#ifndef PREFORK_SERVER_WORKER_RESULT_PUBLISHER_H_
#define PREFORK_SERVER_WORKER_RESULT_PUBLISHER_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/shm/lane.h"
#include "common/shm/lane_sleeper.h"
#include "server/worker/daemon_link.h"
#include "server/worker/step_observer.h"

namespace prefork::worker {

// Writes records into the lane's up queue, each published at once: a finished result is never held
// back while the next task runs. Waits while the queue is full; if the daemon goes meanwhile, the
// process ends. Large values travel in segments.
class ResultPublisher {
 public:
  // Nothing is owned; `observer` may be null.
  ResultPublisher(shm::LaneGuest* lane, shm::LaneSleeper* sleeper, DaemonLink* link,
                  StepObserver* observer)
      : lane_(lane), sleeper_(sleeper), link_(link), observer_(observer) {}

  void Started(uint64_t task_id, int64_t started_ns);
  void Progress(uint64_t task_id, double done, double total, std::string_view text);
  // INVALID_ARGUMENT: the content type is too long. Otherwise the daemon's reason for no room.
  absl::Status Partial(uint64_t task_id, std::string_view value, std::string_view content_type);

  // A value on its way: its bytes inline, or the segment that holds them already.
  struct Value {
    std::string_view inline_bytes;
    uint64_t segment_id = 0;
    uint64_t size_bytes = 0;
  };
  // Decides how `value` travels and copies it into a segment if it is large. Fails as Partial does.
  absl::StatusOr<Value> Place(std::string_view value);
  // Can a value of this size travel inline?
  bool FitsInline(size_t value_bytes) const;
  // INVALID_ARGUMENT when it is too long.
  static absl::Status CheckContentType(std::string_view content_type);

  // Fills in the sizes of `record` and publishes it. Too long an error text is cut.
  void Finished(shm::FinishedRecord record, std::string_view error, std::string_view content_type,
                const Value& value);

 private:
  std::span<std::byte> Reserve(shm::RecordKind kind, size_t body_bytes);
  void Publish(uint64_t task_id);

  shm::LaneGuest* lane_;
  shm::LaneSleeper* sleeper_;
  DaemonLink* link_;
  StepObserver* observer_;
};

}  // namespace prefork::worker

#endif  // PREFORK_SERVER_WORKER_RESULT_PUBLISHER_H_
