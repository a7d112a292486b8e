// How results come from the client library's thread to Python without fighting for the GIL.
//
//   client's thread: on_done, on_event -> Put -> items_        (never takes the GIL)
//   Python's thread: Take (waits without the GIL) -> a list of what has gathered meanwhile
//
// While Python is busy, items gather; when it comes, it takes all of them with one acquisition of
// the GIL. So one task alone is delivered at once, and thousands cost a wake-up together.
//
// A task can end before Submit has returned to us with its handle. Its key then waits in
// `ended_early_`, so that the handle is not kept.
#include "client/python/native/client_inbox.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/python/native/lease_budget.h"

namespace prefork::python {

using client::Client;
using client::SegmentSlice;
using client::SubmitOptions;
using client::TaskEvent;
using client::TaskHandle;
using client::TaskResult;
using client::TaskSpec;

SubmitOptions Inbox::Callbacks(uint64_t key) {
  return {
      .on_done =
          [this, key](const TaskHandle& task, const absl::StatusOr<TaskResult>& outcome) {
            Put({.key = key,
                 .what = Ended{.task_id = task.id(), .outcome = KeptWithinBudget(outcome)}});
          },
      .on_event = [this, key](const TaskHandle&,
                              const TaskEvent& event) { Put({.key = key, .what = event}); },
  };
}

absl::Status Inbox::Submit(const Client::Template& spec, uint64_t key, std::string_view payload,
                           bool wait) {
  return Register(
      key, wait ? spec.Submit(payload, Callbacks(key)) : spec.TrySubmit(payload, Callbacks(key)));
}

absl::Status Inbox::Submit(const Client::Template& spec, uint64_t key, const SegmentSlice& payload,
                           bool wait) {
  return Register(
      key, wait ? spec.Submit(payload, Callbacks(key)) : spec.TrySubmit(payload, Callbacks(key)));
}

absl::Status Inbox::Submit(Client& client, const TaskSpec& spec, uint64_t key, bool wait) {
  return Register(
      key, wait ? client.Submit(spec, Callbacks(key)) : client.TrySubmit(spec, Callbacks(key)));
}

absl::Status Inbox::Register(uint64_t key, absl::StatusOr<TaskHandle> task) {
  if (!task.ok()) return task.status();
  absl::MutexLock lock(&mu_);
  if (ended_early_.erase(key) == 0) tasks_.emplace(key, *std::move(task));
  return absl::OkStatus();
}

void Inbox::Put(Item item) {
  absl::MutexLock lock(&mu_);
  if (std::holds_alternative<Ended>(item.what)) {
    if (tasks_.erase(item.key) == 0) ended_early_.insert(item.key);
    if (tasks_.empty()) all_ended_.SignalAll();
  }
  items_.push_back(std::move(item));
  if (waiting_) arrived_.Signal();
}

std::vector<Inbox::Item> Inbox::Take(size_t max_items, absl::Time deadline) {
  absl::MutexLock lock(&mu_);
  while (taken_ == items_.size() && !closed_) {
    waiting_ = true;
    const bool late = arrived_.WaitWithDeadline(&mu_, deadline);
    waiting_ = false;
    if (late) break;
  }
  if (taken_ == 0 && items_.size() <= max_items) return std::exchange(items_, {});
  const auto begin = items_.begin() + static_cast<ptrdiff_t>(taken_);
  const size_t count = std::min(max_items, items_.size() - taken_);
  std::vector<Item> batch(std::make_move_iterator(begin),
                          std::make_move_iterator(begin + static_cast<ptrdiff_t>(count)));
  taken_ += count;
  if (taken_ == items_.size()) {
    items_.clear();
    taken_ = 0;
  }
  return batch;
}

bool Inbox::WaitAll(absl::Time deadline) {
  absl::MutexLock lock(&mu_);
  while (!tasks_.empty()) {
    if (all_ended_.WaitWithDeadline(&mu_, deadline)) break;
  }
  return tasks_.empty();
}

void Inbox::Close() {
  absl::MutexLock lock(&mu_);
  closed_ = true;
  arrived_.SignalAll();
}

bool Inbox::closed() {
  absl::MutexLock lock(&mu_);
  return closed_;
}

void Inbox::Cancel(uint64_t key, bool force) {
  TaskHandle task;
  {
    absl::MutexLock lock(&mu_);
    const auto found = tasks_.find(key);
    if (found == tasks_.end()) return;
    task = found->second;
  }
  task.Cancel(force);
}

void Inbox::CancelAll(bool force) {
  std::vector<TaskHandle> tasks;
  {
    absl::MutexLock lock(&mu_);
    for (const auto& [key, task] : tasks_) tasks.push_back(task);
  }
  for (const TaskHandle& task : tasks) task.Cancel(force);
}

absl::StatusOr<uint64_t> Inbox::TaskId(uint64_t key, absl::Duration timeout) {
  TaskHandle task;
  {
    absl::MutexLock lock(&mu_);
    const auto found = tasks_.find(key);
    if (found == tasks_.end()) return absl::NotFoundError("the task has ended");
    task = found->second;
  }
  return task.WaitAccepted(timeout);
}

size_t Inbox::unfinished() {
  absl::MutexLock lock(&mu_);
  return tasks_.size();
}

}  // namespace prefork::python
