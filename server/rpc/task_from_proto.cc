#include "server/rpc/task_from_proto.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/shm/lane_layout.h"
#include "server/engine/limits.h"
#include "server/rpc/enum_mapping.h"
#include "server/rpc/field_reader.h"
#include "server/rpc/status_mapping.h"
#include "server/rpc/time_mapping.h"

namespace prefork::rpc {
namespace {

using engine::kMaxAttempts;
using engine::kMaxLabels;
using engine::kMaxPredecessors;
using engine::kMaxPriority;
using engine::TaskOptions;
constexpr size_t kMaxLabelBytes = 255;

void ReadCommand(const v1::Command& command, FieldReader reader, TaskOptions* out) {
  engine::CommandSpec& spec = out->command.emplace();
  if (command.argv_size() == 0 || command.argv(0).empty()) {
    reader.Add("argv", "names no program; the first element is the program to run");
  }
  for (int i = 0; i < command.argv_size(); ++i) {
    reader.CheckNoNul(absl::StrCat("argv[", i, "]"), command.argv(i));
  }
  spec.argv.assign(command.argv().begin(), command.argv().end());
  for (const auto& [name, value] : command.env()) {
    reader.CheckEnvironment("env", name, value);
    spec.env.emplace_back(name, value);
  }
  // The map has no order of its own, and the same request must make the same task each time.
  std::sort(spec.env.begin(), spec.env.end());
  reader.CheckNoNul("cwd", command.cwd());
  spec.cwd = command.cwd();
  for (int i = 0; i < command.limits_size(); ++i) {
    const v1::ResourceLimit& limit = command.limits(i);
    const std::optional<int> rlimit = FromProto(limit.resource());
    if (!rlimit.has_value()) {
      reader.Add(absl::StrCat("limits[", i, "].resource"),
                 absl::StrCat(static_cast<int>(limit.resource()), " is no known resource"));
      continue;
    }
    spec.limits.emplace_back(*rlimit, limit.value());
  }
}

void ReadRetry(const v1::RetryPolicy& retry, FieldReader reader, scheduler::RetryPolicy* out) {
  if (retry.max_attempts() > kMaxAttempts) {
    reader.Add("max_attempts", absl::StrCat(retry.max_attempts(), " is more than ", kMaxAttempts));
  }
  out->max_attempts = retry.max_attempts() == 0 ? 1 : retry.max_attempts();
  for (int i = 0; i < retry.on_size(); ++i) {
    const std::optional<uint32_t> bit = FromProto(retry.on(i));
    if (!bit.has_value()) {
      reader.Add(absl::StrCat("on[", i, "]"),
                 absl::StrCat(static_cast<int>(retry.on(i)), " is no known cause"));
      continue;
    }
    out->on |= *bit;
  }
  if (retry.on_size() == 0) out->on = scheduler::kRetryOnCrash;
  if (retry.has_backoff()) {
    if (const auto backoff = reader.ReadDuration("backoff", retry.backoff(), true)) {
      out->backoff_ns = absl::ToInt64Nanoseconds(*backoff);
    }
  }
  if (retry.multiplier() != 0) {
    if (!std::isfinite(retry.multiplier()) || retry.multiplier() < 1) {
      reader.Add("multiplier", absl::StrCat(retry.multiplier(), " is not 1 or more"));
    }
    out->backoff_multiplier = retry.multiplier();
  }
  if (retry.has_max_backoff()) {
    if (const auto backoff = reader.ReadDuration("max_backoff", retry.max_backoff(), true)) {
      out->max_backoff_ns = absl::ToInt64Nanoseconds(*backoff);
    }
  }
}

void ReadTimes(const v1::TaskSpec& spec, FieldReader* reader, TaskOptions* out) {
  if (spec.has_delay() && spec.has_not_before()) {
    reader->Add("not_before", "can't be combined with delay; leave one of them out");
  }
  if (spec.has_delay()) {
    out->delay = reader->ReadDuration("delay", spec.delay(), true).value_or(absl::ZeroDuration());
  }
  if (spec.has_not_before()) {
    const absl::StatusOr<absl::Time> time = FromProto(spec.not_before());
    if (time.ok()) {
      out->not_before = *time;
    } else {
      reader->Add("not_before", time.status().message());
    }
  }
  if (spec.has_timeout()) out->timeout = reader->ReadDuration("timeout", spec.timeout(), false);
  if (spec.has_grace()) out->grace = reader->ReadDuration("grace", spec.grace(), true);
  if (spec.has_queue_timeout()) {
    out->queue_timeout = reader->ReadDuration("queue_timeout", spec.queue_timeout(), false)
                             .value_or(absl::ZeroDuration());
  }
  if (spec.has_result_ttl()) {
    out->result_ttl = reader->ReadDuration("result_ttl", spec.result_ttl(), true);
  }
}

}  // namespace

absl::StatusOr<std::shared_ptr<const TaskOptions>> ReadTaskOptions(const v1::TaskSpec& spec,
                                                                   absl::string_view path) {
  auto out = std::make_shared<TaskOptions>();
  FieldViolations violations;
  FieldReader reader{std::string(path), &violations};

  if (!spec.pool().empty()) out->pool = spec.pool();
  switch (spec.work_case()) {
    case v1::TaskSpec::kFunction:
      if (spec.function().empty()) reader.Add("function", "is empty");
      out->function = spec.function();
      break;
    case v1::TaskSpec::kCommand:
      ReadCommand(spec.command(), reader.Nested("command"), out.get());
      break;
    case v1::TaskSpec::WORK_NOT_SET:
      reader.Add("function", "neither function nor command is set; say what to run");
  }
  reader.CheckLength("content_type", spec.content_type(), shm::kMaxContentTypeBytes);
  out->content_type = spec.content_type();
  if (spec.priority() < -kMaxPriority || spec.priority() > kMaxPriority) {
    reader.Add("priority", absl::StrFormat("%d is not between %d and %d", spec.priority(),
                                           -kMaxPriority, kMaxPriority));
  }
  out->priority = spec.priority();
  ReadTimes(spec, &reader, out.get());
  if (spec.has_retry()) ReadRetry(spec.retry(), reader.Nested("retry"), &out->retry);
  if (spec.after_size() > kMaxPredecessors) {
    reader.Add("after", absl::StrCat(spec.after_size(), " tasks are more than ", kMaxPredecessors));
  }
  out->after.assign(spec.after().begin(), spec.after().end());
  if (spec.labels_size() > kMaxLabels) {
    reader.Add("labels", absl::StrCat(spec.labels_size(), " pairs are more than ", kMaxLabels));
  }
  for (const auto& [name, value] : spec.labels()) {
    if (name.empty()) reader.Add("labels", "has a pair with an empty name");
    reader.CheckLength("labels", name, kMaxLabelBytes);
    reader.CheckLength(absl::StrCat("labels[", name, "]"), value, kMaxLabelBytes);
  }
  out->labels = {spec.labels().begin(), spec.labels().end()};
  out->dedicated = spec.dedicated();
  out->detached = spec.detached();
  if (!violations.ok()) return violations.ToStatus();
  return out;
}

v1::TaskSpec MergeTaskSpecs(const v1::TaskSpec& defaults, const v1::TaskSpec& own) {
  v1::TaskSpec merged = defaults;
  // MergeFrom replaces scalars that are set, but appends to lists and merges maps and messages.
  if (own.work_case() != v1::TaskSpec::WORK_NOT_SET) merged.clear_work();
  if (own.has_delay() || own.has_not_before()) {
    merged.clear_delay();
    merged.clear_not_before();
  }
  if (own.has_timeout()) merged.clear_timeout();
  if (own.has_grace()) merged.clear_grace();
  if (own.has_queue_timeout()) merged.clear_queue_timeout();
  if (own.has_retry()) merged.clear_retry();
  if (own.after_size() > 0) merged.clear_after();
  if (own.labels_size() > 0) merged.clear_labels();
  if (own.has_result_ttl()) merged.clear_result_ttl();
  merged.MergeFrom(own);
  return merged;
}

absl::Status CheckRequestId(absl::string_view request_id, absl::string_view path) {
  FieldViolations violations;
  FieldReader(std::string(path), &violations)
      .CheckLength("request_id", request_id, engine::kMaxRequestIdBytes);
  return violations.ToStatus();
}

absl::Status CheckPayloadSize(uint64_t size_bytes, size_t max_bytes, absl::string_view field) {
  if (size_bytes <= max_bytes) return absl::OkStatus();
  FieldViolations violations;
  violations.Add(field, absl::StrCat(size_bytes, " bytes are more than the daemon's limit of ",
                                     max_bytes, " for a payload"));
  return violations.ToStatus();
}

const std::string& PayloadOf(const v1::TaskSpec& spec) {
  return spec.payload().empty() && spec.has_command() ? spec.command().stdin() : spec.payload();
}

absl::StatusOr<engine::TaskFilter> ReadTaskFilter(const v1::TaskFilter& filter) {
  engine::TaskFilter out;
  FieldViolations violations;
  out.ids.assign(filter.task_ids().begin(), filter.task_ids().end());
  out.pool = filter.pool();
  for (int i = 0; i < filter.states_size(); ++i) {
    const auto state = FromProto(filter.states(i));
    if (state.has_value()) {
      out.states.push_back(*state);
    } else {
      violations.Add(absl::StrCat("filter.states[", i, "]"),
                     absl::StrCat(static_cast<int>(filter.states(i)), " is no task state"));
    }
  }
  out.labels = {filter.labels().begin(), filter.labels().end()};
  if (!violations.ok()) return violations.ToStatus();
  return out;
}

}  // namespace prefork::rpc
