#ifndef PREFORK_CLIENT_CPP_INCLUDE_PREFORK_TASK_HANDLE_H_
#define PREFORK_CLIENT_CPP_INCLUDE_PREFORK_TASK_HANDLE_H_

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "prefork/task.h"

namespace prefork::client {

namespace internal {

class Session;
struct TaskRecord;

// A counted reference to what the client knows of a task.
class RecordPtr {
 public:
  RecordPtr() = default;
  explicit RecordPtr(TaskRecord* record) : record_(record) {
    if (record_ != nullptr) Retain(record_);
  }
  RecordPtr(const RecordPtr& other) : RecordPtr(other.record_) {}
  RecordPtr(RecordPtr&& other) noexcept : record_(std::exchange(other.record_, nullptr)) {}
  RecordPtr& operator=(RecordPtr other) noexcept {
    std::swap(record_, other.record_);
    return *this;
  }
  ~RecordPtr() {
    if (record_ != nullptr) Release(record_);
  }

  TaskRecord* get() const { return record_; }
  TaskRecord* operator->() const { return record_; }
  TaskRecord& operator*() const { return *record_; }
  friend bool operator==(const RecordPtr& record, std::nullptr_t) {
    return record.record_ == nullptr;
  }
  friend bool operator!=(const RecordPtr& record, std::nullptr_t) {
    return record.record_ != nullptr;
  }
  friend bool operator<(const RecordPtr& a, const RecordPtr& b) { return a.record_ < b.record_; }

 private:
  static void Retain(TaskRecord* record);
  static void Release(TaskRecord* record);

  TaskRecord* record_ = nullptr;
};

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
  explicit TaskHandle(internal::RecordPtr record);

  internal::RecordPtr record_;
};

}  // namespace prefork::client

#endif  // PREFORK_CLIENT_CPP_INCLUDE_PREFORK_TASK_HANDLE_H_
