#include "prefork/task_handle.h"

#include <utility>

#include "absl/time/clock.h"
#include "client/cpp/session.h"
#include "client/cpp/task_record.h"

namespace prefork::client {

TaskHandle::TaskHandle() = default;
TaskHandle::~TaskHandle() = default;
TaskHandle::TaskHandle(const TaskHandle&) = default;
TaskHandle& TaskHandle::operator=(const TaskHandle&) = default;
TaskHandle::TaskHandle(TaskHandle&&) noexcept = default;
TaskHandle& TaskHandle::operator=(TaskHandle&&) noexcept = default;

TaskHandle::TaskHandle(internal::RecordPtr record) : record_(std::move(record)) {}

absl::StatusOr<TaskResult> TaskHandle::Get(absl::Duration timeout) const {
  const absl::Status waited = Wait(timeout);
  if (!waited.ok()) return waited;
  return record_->block->session().ResultOf(record_->outcome);
}

absl::Status TaskHandle::Wait(absl::Duration timeout) const {
  if (done()) return absl::OkStatus();
  return record_->block->session().WaitDone(*record_, absl::Now() + timeout);
}

bool TaskHandle::done() const { return record_->done.load(std::memory_order_acquire); }

uint64_t TaskHandle::id() const { return record_->id.load(std::memory_order_acquire); }

absl::StatusOr<uint64_t> TaskHandle::WaitAccepted(absl::Duration timeout) const {
  return record_->block->session().WaitAccepted(*record_, absl::Now() + timeout);
}

void TaskHandle::Cancel(bool force) const { record_->block->session().Cancel(*record_, force); }

}  // namespace prefork::client
