#include "client/python/native/client_convert.h"

#include <nanobind/stl/map.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/time/time.h"
#include "client/python/native/client_errors.h"
#include "client/python/native/client_value.h"

namespace prefork::python {
namespace {

namespace nb = nanobind;

using client::ExitReport;
using client::RetryPolicy;
using client::TaskResult;
using client::TaskSpec;

template <typename T>
void Assign(nb::handle value, T& field) {
  if constexpr (std::is_same_v<T, std::optional<absl::Duration>>) {
    field = absl::Seconds(nb::cast<double>(value));
  } else {
    field = nb::cast<T>(value);
  }
}

[[noreturn]] void RaiseType(const std::string& name, const char* what) {
  PyErr_Format(PyExc_TypeError, "task option '%s' %s", name.c_str(), what);
  throw nb::python_error();
}

RetryPolicy ToRetryPolicy(const nb::dict& fields) {
  RetryPolicy policy;
  for (const auto& [key, value] : fields) {
    const auto name = nb::cast<std::string>(key);
    if (name == "max_attempts") {
      Assign(value, policy.max_attempts);
    } else if (name == "on") {
      for (const int cause : nb::cast<std::vector<int>>(value)) {
        policy.on.push_back(static_cast<RetryPolicy::Cause>(cause));
      }
    } else if (name == "backoff") {
      Assign(value, policy.backoff);
    } else if (name == "multiplier") {
      Assign(value, policy.multiplier);
    } else if (name == "max_backoff") {
      Assign(value, policy.max_backoff);
    } else {
      RaiseType(name, "is not known");
    }
  }
  return policy;
}

// False for an unknown name.
bool AssignField(TaskSpec& spec, const std::string& name, nb::handle value) {
  if (name == "pool") return Assign(value, spec.pool), true;
  if (name == "function") return Assign(value, spec.function), true;
  if (name == "content_type") return Assign(value, spec.content_type), true;
  if (name == "priority") return Assign(value, spec.priority), true;
  if (name == "delay") return Assign(value, spec.delay), true;
  if (name == "timeout") return Assign(value, spec.timeout), true;
  if (name == "grace") return Assign(value, spec.grace), true;
  if (name == "queue_timeout") return Assign(value, spec.queue_timeout), true;
  if (name == "after") return Assign(value, spec.after), true;
  if (name == "request_id") return Assign(value, spec.request_id), true;
  if (name == "labels") return Assign(value, spec.labels), true;
  if (name == "result_ttl") return Assign(value, spec.result_ttl), true;
  if (name == "dedicated") return Assign(value, spec.dedicated), true;
  if (name == "detached") return Assign(value, spec.detached), true;
  if (name == "retry") return spec.retry = ToRetryPolicy(nb::cast<nb::dict>(value)), true;
  return false;
}

nb::object ToPython(absl::Duration duration) { return nb::float_(absl::ToDoubleSeconds(duration)); }

nb::str Text(const std::string& text) {
  return nb::steal<nb::str>(
      PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace"));
}

nb::str Text(std::string_view text) { return Text(std::string(text)); }

template <typename T>
nb::object OrNone(const std::optional<T>& value) {
  if (!value) return nb::none();
  if constexpr (std::is_same_v<T, absl::Duration>) return ToPython(*value);
  if constexpr (std::is_same_v<T, int>) return nb::int_(*value);
}

nb::dict ToPython(const ExitReport& report) {
  nb::dict out;
  out["cause"] = Text(client::EndCauseName(report.cause));
  out["detail"] = Text(report.detail);
  out["attempt"] = report.attempt;
  out["worker_index"] = report.worker_index;
  out["worker_generation"] = report.worker_generation;
  out["pid"] = report.pid;
  out["exit_code"] = OrNone(report.exit_code);
  out["signal"] = OrNone(report.signal);
  out["signal_name"] = Text(report.signal_name);
  out["out_of_memory"] = report.out_of_memory;
  out["run_time"] = ToPython(report.run_time);
  out["queue_time"] = ToPython(report.queue_time);
  out["cpu_time"] = OrNone(report.cpu_time);
  out["peak_rss_bytes"] = report.peak_rss_bytes;
  out["stderr_tail"] = Text(report.stderr_tail);
  nb::list earlier;
  for (const ExitReport& each : report.earlier) earlier.append(ToPython(each));
  out["earlier"] = earlier;
  return out;
}

// Of an item's second element.
enum Kind {
  kSucceeded,
  kEndedOtherwise,
  kUnknownFate,
  kState,
  kOutput,
  kProgress,
  kPartial,
  kRetry
};

nb::tuple EndToPython(uint64_t key, Inbox::Ended&& end) {
  if (!end.outcome.ok()) {
    const absl::Status& status = end.outcome.status();
    return nb::make_tuple(key, static_cast<int>(kUnknownFate), status.raw_code(),
                          Text(std::string(status.message())), Text(ReasonOf(status)));
  }
  TaskResult& result = *end.outcome;
  nb::object value = MakeValue(std::move(result.value), std::move(result.mapped));
  if (result.ok()) {
    return nb::make_tuple(
        key, static_cast<int>(kSucceeded), std::move(value), Text(result.content_type), end.task_id,
        result.exit_report != nullptr ? nb::object(ToPython(*result.exit_report)) : nb::none());
  }
  return nb::make_tuple(
      key, static_cast<int>(kEndedOtherwise), std::move(value), Text(result.content_type),
      end.task_id,
      result.exit_report != nullptr ? nb::object(ToPython(*result.exit_report)) : nb::none(),
      Text(client::TaskStateName(result.state)), Text(result.error));
}

struct EventToPython {
  uint64_t key;

  nb::tuple operator()(client::StateChanged& event) const {
    return nb::make_tuple(key, static_cast<int>(kState), Text(client::TaskStateName(event.state)),
                          event.attempt);
  }
  nb::tuple operator()(client::OutputWritten& event) const {
    return nb::make_tuple(key, static_cast<int>(kOutput), event.is_stderr, event.offset,
                          MakeValue(std::move(event.data)));
  }
  nb::tuple operator()(client::ProgressMade& event) const {
    return nb::make_tuple(key, static_cast<int>(kProgress), event.done, event.total,
                          Text(event.text));
  }
  nb::tuple operator()(client::PartialValue& event) const {
    return nb::make_tuple(key, static_cast<int>(kPartial), event.index,
                          MakeValue(std::move(event.value)), Text(event.content_type));
  }
  nb::tuple operator()(client::RetryPlanned& event) const {
    return nb::make_tuple(key, static_cast<int>(kRetry), ToPython(event.report),
                          absl::ToDoubleSeconds(event.next_attempt_at - absl::UnixEpoch()));
  }
};

}  // namespace

TaskSpec ToTaskSpec(const nb::dict& fields) {
  TaskSpec spec;
  for (const auto& [key, value] : fields) {
    const auto name = nb::cast<std::string>(key);
    try {
      if (!AssignField(spec, name, value)) RaiseType(name, "is not known");
    } catch (const nb::cast_error&) {
      RaiseType(name, "has a value of the wrong type");
    }
  }
  return spec;
}

nb::tuple ToPython(Inbox::Item&& item) {
  if (auto* end = std::get_if<Inbox::Ended>(&item.what)) {
    return EndToPython(item.key, std::move(*end));
  }
  return std::visit(EventToPython{item.key}, std::get<client::TaskEvent>(item.what));
}

}  // namespace prefork::python
