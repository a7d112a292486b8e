#include "server/engine/task_info.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "server/engine/command_payload.h"
#include "server/engine/exit_reporter.h"
#include "server/engine/pool_entry.h"

namespace prefork::engine {
namespace {

using scheduler::TaskState;

std::string LocalTime(absl::Time time) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", time, absl::LocalTimeZone());
}

// Why a task that does not run yet waits, in words; empty for one that runs.
std::string WaitingFor(const Core& core, TaskSlot slot, const TaskRecord& record) {
  if (record.state != TaskState::kQueued) return {};
  if (core.scheduler.state(slot) != TaskState::kWaiting) {
    const PoolEntry* const pool = core.pools == nullptr ? nullptr : core.pools->At(record.pool);
    if (pool != nullptr && pool->paused) return "pool paused; resume it to let its tasks run";
    if (pool != nullptr && pool->pool->degraded()) {
      return absl::StrCat("a worker; pool degraded: ", pool->pool->degraded_reason());
    }
    const scheduler::SchedulerCounts counts = core.scheduler.counts(record.pool);
    if (counts.workers == 0) return "its pool has no worker yet";
    return absl::StrCat("a free worker; ", counts.queued, " tasks are queued in its pool");
  }
  if (record.detail && record.detail->next_attempt_ns > core.now_ns) {
    return absl::StrCat("its next attempt at ",
                        LocalTime(TimeOf(core.wall_ns) +
                                  absl::Nanoseconds(record.detail->next_attempt_ns - core.now_ns)));
  }
  for (const TaskId id : record.options->after) {
    const TaskSlot before = core.tasks.Find(id);
    if (before != kNone && !scheduler::IsTerminal(core.tasks.at(before).state)) {
      return absl::StrCat("task ", id);
    }
  }
  if (record.options->delay > absl::ZeroDuration()) {
    return absl::StrCat("its time at ",
                        LocalTime(TimeOf(record.submitted_ns) + record.options->delay));
  }
  return absl::StrCat("its time at ", LocalTime(record.options->not_before));
}

void AddEnd(const TaskRecord& record, TaskInfo* info) {
  if (record.outcome) {
    info->value = record.outcome->value;
    info->value_content_type = record.outcome->content_type;
    info->error = record.outcome->error;
    if (record.outcome->report) info->exit_report = *record.outcome->report;
  }
  if (!info->exit_report) info->exit_report = ReportSuccess(record);
}

}  // namespace

TaskInfo MakeTaskInfo(const Core& core, TaskSlot slot) {
  const TaskRecord& record = core.tasks.at(slot);
  TaskInfo info;
  info.id = record.id;
  info.state = record.state;
  info.options = record.options;
  info.payload_bytes = VisiblePayloadBytes(*record.options, record.payload.size());
  info.attempt = record.attempt;
  info.submitted_at = TimeOf(record.submitted_ns);
  info.started_at = TimeOf(record.started_ns);
  info.finished_at =
      scheduler::IsTerminal(record.state) ? TimeOf(record.finished_ns) : absl::InfinitePast();
  if (record.worker_index != kNone) {
    info.worker = {record.worker_index, record.worker_generation};
    info.worker_pid = record.worker_pid;
  }
  info.waiting_for = WaitingFor(core, slot, record);
  info.uid = record.uid;
  if (record.detail) {
    const TaskDetail& detail = *record.detail;
    info.request_id = detail.request_id;
    if (detail.progress) info.progress = *detail.progress;
    if (detail.output[0]) info.stdout_bytes = detail.output[0]->total_bytes();
    if (detail.output[1]) info.stderr_bytes = detail.output[1]->total_bytes();
    info.earlier_attempts = detail.earlier;
  }
  if (scheduler::IsTerminal(record.state)) AddEnd(record, &info);
  return info;
}

}  // namespace prefork::engine
