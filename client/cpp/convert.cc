#include "client/cpp/convert.h"

#include <string>
#include <utility>

namespace prefork::client {
namespace {

v1::RetryPolicy RetryToProto(const RetryPolicy& policy) {
  v1::RetryPolicy out;
  out.set_max_attempts(policy.max_attempts);
  for (const RetryPolicy::Cause cause : policy.on) {
    out.add_on(static_cast<v1::RetryPolicy::Cause>(cause));
  }
  if (policy.backoff) ToProto(*policy.backoff, out.mutable_backoff());
  out.set_multiplier(policy.multiplier);
  if (policy.max_backoff) ToProto(*policy.max_backoff, out.mutable_max_backoff());
  return out;
}

v1::Command CommandToProto(const Command& command) {
  v1::Command out;
  for (const std::string& argument : command.argv) out.add_argv(argument);
  for (const auto& [name, value] : command.env) (*out.mutable_env())[name] = value;
  out.set_cwd(command.cwd);
  out.set_stdin(command.stdin_data);
  for (const ResourceLimit& limit : command.limits) {
    v1::ResourceLimit* added = out.add_limits();
    added->set_resource(static_cast<v1::ResourceLimit::Resource>(limit.resource));
    added->set_value(limit.value);
  }
  return out;
}

}  // namespace

void ToProto(absl::Duration duration, google::protobuf::Duration* out) {
  absl::Duration rest;
  out->set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &rest));
  out->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
}

absl::Duration FromProto(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

absl::Time FromProto(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

v1::TaskSpec ToProto(const TaskSpec& spec) {
  v1::TaskSpec out = SharedToProto(spec);
  out.set_payload(spec.payload);
  out.set_request_id(spec.request_id);
  return out;
}

v1::TaskSpec SharedToProto(const TaskSpec& spec) {
  v1::TaskSpec out;
  out.set_pool(spec.pool);
  if (spec.command) {
    *out.mutable_command() = CommandToProto(*spec.command);
  } else if (!spec.function.empty()) {
    out.set_function(spec.function);
  }
  out.set_content_type(spec.content_type);
  out.set_priority(spec.priority);
  if (spec.delay) ToProto(*spec.delay, out.mutable_delay());
  if (spec.not_before) {
    const absl::Duration since_epoch = *spec.not_before - absl::UnixEpoch();
    google::protobuf::Duration parts;
    ToProto(since_epoch, &parts);
    out.mutable_not_before()->set_seconds(parts.seconds());
    out.mutable_not_before()->set_nanos(parts.nanos());
  }
  if (spec.timeout) ToProto(*spec.timeout, out.mutable_timeout());
  if (spec.grace) ToProto(*spec.grace, out.mutable_grace());
  if (spec.queue_timeout) ToProto(*spec.queue_timeout, out.mutable_queue_timeout());
  if (spec.retry.max_attempts != 0 || !spec.retry.on.empty()) {
    *out.mutable_retry() = RetryToProto(spec.retry);
  }
  for (const uint64_t task_id : spec.after) out.add_after(task_id);
  for (const auto& [name, value] : spec.labels) (*out.mutable_labels())[name] = value;
  if (spec.result_ttl) ToProto(*spec.result_ttl, out.mutable_result_ttl());
  out.set_dedicated(spec.dedicated);
  out.set_detached(spec.detached);
  return out;
}

ExitReport FromProto(const v1::ExitReport& report) {
  ExitReport out{
      .cause = static_cast<EndCause>(report.cause()),
      .detail = report.detail(),
      .attempt = report.attempt(),
      .worker_index = report.worker_index(),
      .worker_generation = report.worker_generation(),
      .pid = report.pid(),
      .signal_name = report.signal_name(),
      .out_of_memory = report.out_of_memory(),
      .run_time = FromProto(report.run_time()),
      .queue_time = FromProto(report.queue_time()),
      .peak_rss_bytes = report.peak_rss_bytes(),
      .stderr_tail = report.stderr_tail(),
  };
  if (report.has_exit_code()) out.exit_code = report.exit_code();
  if (report.has_signal()) out.signal = report.signal();
  if (report.has_cpu_time()) out.cpu_time = FromProto(report.cpu_time());
  for (const v1::ExitReport& earlier : report.earlier()) out.earlier.push_back(FromProto(earlier));
  return out;
}

TaskResult FromProto(v1::TaskResult&& result) {
  TaskResult out{.state = static_cast<TaskState>(result.state())};
  // Asking for a mutable string would make one.
  if (!result.value().empty()) out.value = std::move(*result.mutable_value());
  if (!result.content_type().empty()) out.content_type = result.content_type();
  if (!result.error().empty()) out.error = result.error();
  if (result.has_exit_report()) {
    out.exit_report = std::make_shared<const ExitReport>(FromProto(result.exit_report()));
  }
  return out;
}

std::optional<TaskEvent> FromProto(v1::TaskEvent&& event) {
  switch (event.event_case()) {
    case v1::TaskEvent::kState: {
      const v1::TaskStateChange& change = event.state();
      StateChanged out{.state = static_cast<TaskState>(change.state()),
                       .cause = static_cast<EndCause>(change.cause()),
                       .attempt = change.attempt(),
                       .worker_generation = change.worker_generation()};
      if (change.has_worker_index()) out.worker_index = change.worker_index();
      return out;
    }
    case v1::TaskEvent::kOutput:
      return OutputWritten{.is_stderr = event.output().stream() == v1::OUTPUT_STREAM_STDERR,
                           .offset = event.output().offset(),
                           .data = std::move(*event.mutable_output()->mutable_data())};
    case v1::TaskEvent::kProgress:
      return ProgressMade{.done = event.progress().done(),
                          .total = event.progress().total(),
                          .text = event.progress().text()};
    case v1::TaskEvent::kPartial:
      return PartialValue{.index = event.partial().index(),
                          .value = std::move(*event.mutable_partial()->mutable_value()),
                          .content_type = event.partial().content_type()};
    case v1::TaskEvent::kRetry:
      return RetryPlanned{.report = FromProto(event.retry().report()),
                          .next_attempt_at = FromProto(event.retry().next_attempt_at())};
    default:
      return std::nullopt;
  }
}

}  // namespace prefork::client
