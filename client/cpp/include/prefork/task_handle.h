#ifndef PREFORK_CLIENT_CPP_INCLUDE_PREFORK_TASK_HANDLE_H_
#define PREFORK_CLIENT_CPP_INCLUDE_PREFORK_TASK_HANDLE_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "prefork/task.h"

namespace prefork::client {

namespace internal {
class Session;
struct TaskRecord;
}  // namespace internal

// A submitted task: a future that can also cancel. Copies are the same task. Dropping every copy
// neither cancels nor forgets the task. Thread-safe; may outlive its Client, whose end settles every
// unfinished handle with CANCELLED.
class TaskHandle {
 public:
  TaskHandle();
  ~TaskHandle();
  TaskHandle(const TaskHandle&);
  TaskHandle& operator=(const TaskHandle&);
  TaskHandle(TaskHandle&&) noexcept;
  TaskHandle& operator=(TaskHandle&&) noexcept;

  // False for a default-constructed handle, on which only destruction and assignment are allowed.
  bool valid() const { return record_ != nullptr; }

  // Waits for the end. A task that failed, crashed, timed out or was cancelled is a TaskResult, not
  // an error (see ToStatus). Errors: DEADLINE_EXCEEDED after `timeout` (the task goes on), the
  // daemon's own when it rejected the task, UNAVAILABLE when the connection broke and the task's
  // fate is unknown.
  absl::StatusOr<TaskResult> Get(absl::Duration timeout = absl::InfiniteDuration()) const;

  // Waits for the end, without its value. OK when Get would answer at once.
  absl::Status Wait(absl::Duration timeout = absl::InfiniteDuration()) const;

  bool done() const;

  // The daemon's ID of the task; 0 until it has accepted it.
  uint64_t id() const;
  // Waits until the daemon has accepted the task. Errors as Get.
  absl::StatusOr<uint64_t> WaitAccepted(absl::Duration timeout = absl::InfiniteDuration()) const;

  // Asks for the cancellation, and returns at once; Get tells how the task ended. With `force`
  // without grace. Cancelling a finished task does nothing.
  void Cancel(bool force = false) const;

 private:
  friend class internal::Session;
  explicit TaskHandle(std::shared_ptr<internal::TaskRecord> record);

  std::shared_ptr<internal::TaskRecord> record_;
};

}  // namespace prefork::client

#endif  // PREFORK_CLIENT_CPP_INCLUDE_PREFORK_TASK_HANDLE_H_
