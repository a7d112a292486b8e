#include "server/rpc/task_to_proto.h"

#include <sys/wait.h>

#include <string>

#include "common/os/wait_status.h"
#include "common/text/utf8.h"
#include "server/rpc/enum_mapping.h"
#include "server/rpc/time_mapping.h"

namespace prefork::rpc {
namespace {

using engine::Bytes;
using engine::ExitReport;
using engine::TaskInfo;
using engine::TaskOptions;

void CommandToProto(const engine::CommandSpec& command, v1::Command* out) {
  for (const std::string& arg : command.argv) out->add_argv(arg);
  for (const auto& [name, value] : command.env) (*out->mutable_env())[name] = value;
  out->set_cwd(command.cwd);
  for (const auto& [rlimit, value] : command.limits) {
    v1::ResourceLimit* limit = out->add_limits();
    limit->set_resource(ResourceToProto(rlimit).value_or(v1::ResourceLimit::RESOURCE_UNSPECIFIED));
    limit->set_value(value);
  }
}

void RetryToProto(const scheduler::RetryPolicy& retry, v1::RetryPolicy* out) {
  out->set_max_attempts(retry.max_attempts);
  for (int value = 1; value < v1::RetryPolicy::Cause_ARRAYSIZE; ++value) {
    const auto cause = static_cast<v1::RetryPolicy::Cause>(value);
    if (retry.on & FromProto(cause).value_or(0)) out->add_on(cause);
  }
  ToProto(absl::Nanoseconds(retry.backoff_ns), out->mutable_backoff());
  out->set_multiplier(retry.backoff_multiplier);
  ToProto(absl::Nanoseconds(retry.max_backoff_ns), out->mutable_max_backoff());
}

void ValueToProto(const Bytes& value, v1::TaskResult* out) {
  if (value.size() > kMaxInlineValueBytes) return;
  const std::string_view bytes = value.view();
  out->set_value(bytes.data(), bytes.size());
}

// All but the value itself.
void RestOfResultToProto(scheduler::TaskState state, const Bytes& value,
                         std::string_view content_type, std::string_view error,
                         const ExitReport* report, const std::vector<ExitReport>* earlier,
                         v1::TaskResult* out) {
  out->set_state(ToProto(state));
  out->set_value_bytes(value.size());
  out->set_content_type(text::CleanUtf8(content_type));
  out->set_error(text::CleanUtf8(error));
  if (report == nullptr) return;
  ToProto(*report, out->mutable_exit_report());
  if (earlier == nullptr) return;
  for (const ExitReport& attempt : *earlier) {
    ToProto(attempt, out->mutable_exit_report()->add_earlier());
  }
}

}  // namespace

void ToProto(const ExitReport& report, v1::ExitReport* out) {
  out->set_cause(ToProto(report.cause));
  out->set_detail(text::CleanUtf8(report.detail));
  out->set_attempt(report.attempt);
  out->set_worker_index(report.worker_index);
  out->set_worker_generation(report.worker_generation);
  out->set_pid(report.pid);
  if (report.wait_status.has_value()) {
    const int status = *report.wait_status;
    if (WIFEXITED(status)) out->set_exit_code(WEXITSTATUS(status));
    if (WIFSIGNALED(status)) {
      out->set_signal(WTERMSIG(status));
      out->set_signal_name(os::SignalName(WTERMSIG(status)));
    }
  }
  out->set_out_of_memory(report.out_of_memory);
  ToProto(report.run_time, out->mutable_run_time());
  ToProto(report.queue_time, out->mutable_queue_time());
  if (report.cpu_time.has_value()) ToProto(*report.cpu_time, out->mutable_cpu_time());
  out->set_peak_rss_bytes(report.peak_rss_bytes);
  out->set_stderr_tail(text::CleanUtf8(report.stderr_tail));
}

void ToProto(const engine::ProgressReport& progress, v1::Progress* out) {
  out->set_done(progress.done);
  out->set_total(progress.total);
  out->set_text(text::CleanUtf8(progress.text));
}

void ToProto(const TaskOptions& options, v1::TaskSpec* out) {
  out->set_pool(options.pool);
  if (options.command.has_value()) {
    CommandToProto(*options.command, out->mutable_command());
  } else {
    out->set_function(options.function);
  }
  out->set_content_type(options.content_type);
  out->set_priority(options.priority);
  if (options.delay > absl::ZeroDuration()) ToProto(options.delay, out->mutable_delay());
  if (options.not_before != absl::InfinitePast()) {
    ToProto(options.not_before, out->mutable_not_before());
  }
  if (options.timeout.has_value()) ToProto(*options.timeout, out->mutable_timeout());
  if (options.grace.has_value()) ToProto(*options.grace, out->mutable_grace());
  if (options.queue_timeout > absl::ZeroDuration()) {
    ToProto(options.queue_timeout, out->mutable_queue_timeout());
  }
  if (options.retry.max_attempts > 1) RetryToProto(options.retry, out->mutable_retry());
  for (const engine::TaskId id : options.after) out->add_after(id);
  for (const auto& [name, value] : options.labels) (*out->mutable_labels())[name] = value;
  if (options.result_ttl.has_value()) ToProto(*options.result_ttl, out->mutable_result_ttl());
  out->set_dedicated(options.dedicated);
  out->set_detached(options.detached);
}

void ToProto(const TaskInfo& info, v1::Task* out) {
  ToProtoWithoutValue(info, out);
  if (scheduler::IsTerminal(info.state)) ValueToProto(info.value, out->mutable_result());
}

void ToProtoWithoutValue(const TaskInfo& info, v1::Task* out) {
  out->set_task_id(info.id);
  out->set_state(ToProto(info.state));
  if (info.options != nullptr) ToProto(*info.options, out->mutable_spec());
  out->mutable_spec()->set_request_id(info.request_id);
  out->set_payload_bytes(info.payload_bytes);
  out->set_attempt(info.attempt);
  ToProto(info.submitted_at, out->mutable_submitted_at());
  if (info.started_at != absl::InfinitePast()) {
    ToProto(info.started_at, out->mutable_started_at());
  }
  if (info.finished_at != absl::InfinitePast()) {
    ToProto(info.finished_at, out->mutable_finished_at());
  }
  if (info.progress.has_value()) ToProto(*info.progress, out->mutable_progress());
  if (info.worker.has_value()) {
    out->set_worker_index(info.worker->first);
    out->set_worker_generation(info.worker->second);
    out->set_worker_pid(info.worker_pid);
  }
  if (scheduler::IsTerminal(info.state)) {
    RestOfResultToProto(info.state, info.value, info.value_content_type, info.error,
                        info.exit_report.has_value() ? &*info.exit_report : nullptr,
                        &info.earlier_attempts, out->mutable_result());
  }
  out->set_stdout_bytes(info.stdout_bytes);
  out->set_stderr_bytes(info.stderr_bytes);
  out->set_waiting_for(text::CleanUtf8(info.waiting_for));
  out->set_submitter_uid(info.uid);
}

void ResultToProto(scheduler::TaskState state, const Bytes& value, std::string_view content_type,
                   std::string_view error, const ExitReport* report,
                   const std::vector<ExitReport>* earlier, v1::TaskResult* out) {
  RestOfResultToProto(state, value, content_type, error, report, earlier, out);
  ValueToProto(value, out);
}

}  // namespace prefork::rpc
