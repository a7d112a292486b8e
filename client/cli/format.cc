#include "client/cli/format.h"

#include <google/protobuf/descriptor.h>

#include <array>
#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/text/nearest.h"

namespace prefork::cli {
namespace {

using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;

// Every value begins with the enum's name in capitals.
std::string ShortName(const EnumDescriptor* type, int number) {
  const EnumValueDescriptor* const value = type->FindValueByNumber(number);
  if (value == nullptr) return absl::StrCat("unknown(", number, ")");
  const std::string zero = type->FindValueByNumber(0)->name();
  const std::string prefix = zero.substr(0, zero.size() - sizeof("UNSPECIFIED") + 1);
  return absl::AsciiStrToLower(value->name().substr(prefix.size()));
}

absl::StatusOr<int> ParseName(const EnumDescriptor* type, const std::string& name,
                              const char* what) {
  std::vector<std::string> names;
  for (int i = 1; i < type->value_count(); ++i) {
    names.push_back(ShortName(type, type->value(i)->number()));
    if (names.back() == absl::AsciiStrToLower(name)) return type->value(i)->number();
  }
  const std::string nearest = text::Nearest(name, names);
  return absl::InvalidArgumentError(
      absl::StrCat("no ", what, " '", name, "'; ",
                   nearest.empty() ? absl::StrCat("it is one of ", absl::StrJoin(names, ", "))
                                   : absl::StrCat("did you mean '", nearest, "'?")));
}

std::string Line(const std::string& name, const std::string& value) {
  return absl::StrFormat("%-12s %s", name, value);
}

}  // namespace

std::string StateName(v1::TaskState state) { return ShortName(v1::TaskState_descriptor(), state); }
std::string CauseName(v1::EndCause cause) { return ShortName(v1::EndCause_descriptor(), cause); }
std::string PoolStateName(v1::PoolState state) {
  return ShortName(v1::PoolState_descriptor(), state);
}
std::string WorkerStateName(v1::WorkerState state) {
  return ShortName(v1::WorkerState_descriptor(), state);
}
std::string WorkerExitReasonName(v1::WorkerExitReason reason) {
  return ShortName(v1::WorkerExitReason_descriptor(), reason);
}
std::string RuntimeName(v1::Runtime runtime) {
  return ShortName(v1::Runtime_descriptor(), runtime);
}

absl::StatusOr<v1::TaskState> ParseTaskState(const std::string& name) {
  const auto number = ParseName(v1::TaskState_descriptor(), name, "task state");
  if (!number.ok()) return number.status();
  return static_cast<v1::TaskState>(*number);
}
absl::StatusOr<v1::Runtime> ParseRuntime(const std::string& name) {
  const auto number = ParseName(v1::Runtime_descriptor(), name, "runtime");
  if (!number.ok()) return number.status();
  return static_cast<v1::Runtime>(*number);
}

bool IsTerminal(v1::TaskState state) { return state >= v1::TASK_STATE_SUCCEEDED; }

Color ColorOf(v1::TaskState state) {
  switch (state) {
    case v1::TASK_STATE_RUNNING:
      return Color::kBlue;
    case v1::TASK_STATE_SUCCEEDED:
      return Color::kGreen;
    case v1::TASK_STATE_FAILED:
    case v1::TASK_STATE_CRASHED:
    case v1::TASK_STATE_TIMED_OUT:
      return Color::kRed;
    case v1::TASK_STATE_CANCELLED:
      return Color::kYellow;
    default:
      return Color::kNone;
  }
}

Color ColorOf(v1::PoolState state) {
  switch (state) {
    case v1::POOL_STATE_READY:
      return Color::kGreen;
    case v1::POOL_STATE_DEGRADED:
      return Color::kRed;
    default:
      return Color::kYellow;
  }
}

Color ColorOf(v1::WorkerState state) {
  switch (state) {
    case v1::WORKER_STATE_IDLE:
      return Color::kGreen;
    case v1::WORKER_STATE_BUSY:
      return Color::kBlue;
    case v1::WORKER_STATE_EXITED:
      return Color::kRed;
    default:
      return Color::kYellow;
  }
}

absl::Duration ToDuration(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

absl::Time ToTime(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

std::string ShortDuration(absl::Duration duration) {
  const double seconds = absl::ToDoubleSeconds(duration);
  if (seconds < 0) return absl::StrCat("-", ShortDuration(-duration));
  if (duration == absl::ZeroDuration()) return "0s";
  if (seconds < 1e-3) return absl::StrFormat("%.0fus", seconds * 1e6);
  if (seconds < 1) return absl::StrFormat("%.1fms", seconds * 1e3);
  if (seconds < 60) return absl::StrFormat("%.1fs", seconds);
  const auto whole = static_cast<int64_t>(seconds);
  if (whole < 3600) return absl::StrFormat("%dm%02ds", whole / 60, whole % 60);
  if (whole < 86400) return absl::StrFormat("%dh%02dm", whole / 3600, whole / 60 % 60);
  return absl::StrFormat("%dd%02dh", whole / 86400, whole / 3600 % 24);
}

std::string ShortBytes(uint64_t bytes) {
  constexpr std::array<const char*, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto amount = static_cast<double>(bytes);
  size_t unit = 0;
  while (amount >= 1024 && unit + 1 < kUnits.size()) {
    amount /= 1024;
    ++unit;
  }
  return unit == 0 ? absl::StrCat(bytes, "B") : absl::StrFormat("%.1f%s", amount, kUnits[unit]);
}

std::string ShortTime(absl::Time time, absl::Time now) {
  const absl::TimeZone zone = absl::LocalTimeZone();
  const bool today = absl::ToCivilDay(time, zone) == absl::ToCivilDay(now, zone);
  return absl::FormatTime(today ? "%H:%M:%E3S" : "%Y-%m-%d %H:%M:%S", time, zone);
}

std::string Summary(const v1::TaskSpec& spec, size_t width) {
  std::string text = spec.has_command() ? absl::StrJoin(spec.command().argv(), " ")
                                        : absl::StrCat(spec.function(), "()");
  if (text.size() <= width) return text;
  size_t end = width > 3 ? width - 3 : 0;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end) + "...";
}

std::vector<std::string> ReportLines(const v1::ExitReport& report) {
  std::vector<std::string> lines;
  lines.push_back(Line("cause", CauseName(report.cause())));
  if (!report.detail().empty()) lines.push_back(Line("detail", report.detail()));
  if (report.has_exit_code()) lines.push_back(Line("exit code", absl::StrCat(report.exit_code())));
  if (report.has_signal()) {
    lines.push_back(Line("signal", absl::StrCat(report.signal(), " (", report.signal_name(), ")")));
  }
  if (report.out_of_memory()) lines.push_back(Line("memory", "killed by the kernel's OOM killer"));
  if (report.pid() != 0) {
    lines.push_back(
        Line("worker", absl::StrCat(report.worker_index(), " generation ",
                                    report.worker_generation(), ", pid ", report.pid())));
  }
  lines.push_back(Line("attempt", absl::StrCat(report.attempt())));
  lines.push_back(Line("queued", ShortDuration(ToDuration(report.queue_time()))));
  lines.push_back(Line("ran", ShortDuration(ToDuration(report.run_time()))));
  if (report.has_cpu_time()) {
    lines.push_back(Line("cpu", ShortDuration(ToDuration(report.cpu_time()))));
  }
  if (report.peak_rss_bytes() != 0) {
    lines.push_back(Line("peak rss", ShortBytes(report.peak_rss_bytes())));
  }
  if (!report.stderr_tail().empty()) {
    lines.emplace_back("stderr, its end:");
    for (const absl::string_view line :
         absl::StrSplit(absl::StripTrailingAsciiWhitespace(report.stderr_tail()), '\n')) {
      lines.push_back(absl::StrCat("  | ", line));
    }
  }
  for (const v1::ExitReport& earlier : report.earlier()) {
    lines.push_back(absl::StrCat("attempt ", earlier.attempt(), ": ", CauseName(earlier.cause()),
                                 ", ", earlier.detail()));
  }
  return lines;
}

int TaskExitCode(const v1::TaskResult& result) {
  constexpr int kTimedOut = 124;
  constexpr int kSignalBase = 128;
  const v1::ExitReport& report = result.exit_report();
  if (result.state() == v1::TASK_STATE_SUCCEEDED) return 0;
  if (result.state() == v1::TASK_STATE_TIMED_OUT) return kTimedOut;
  if (report.has_signal()) return kSignalBase + report.signal();
  if (report.has_exit_code() && report.exit_code() != 0) return report.exit_code();
  return 1;
}

}  // namespace prefork::cli
