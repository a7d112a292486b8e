#include "client/cli/task_output.h"

#include <unistd.h>

#include <iostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/format.h"
#include "client/cli/json.h"

namespace prefork::cli {

void WriteOut(bool to_stderr, const std::string& data) {
  std::ostream& out = to_stderr ? std::cerr : std::cout;
  out.write(data.data(), static_cast<std::streamsize>(data.size()));
  out.flush();
}

void ExplainEnd(Context& context, uint64_t task_id, const v1::TaskResult& result) {
  if (result.state() == v1::TASK_STATE_SUCCEEDED || context.options().quiet) return;
  const Style style = context.err_style();
  std::string head = absl::StrCat("task ", context.ShortNumber(task_id), " ",
                                  style.Paint(ColorOf(result.state()), StateName(result.state())));
  if (!result.error().empty()) absl::StrAppend(&head, ": ", result.error());
  std::cerr << head << '\n';
  for (const std::string& line : ReportLines(result.exit_report())) {
    std::cerr << "  " << line << '\n';
  }
}

absl::Status PrintValue(Context& context, uint64_t task_id, const v1::TaskResult& result) {
  std::string value = result.value();
  if (result.value_bytes() > value.size()) {
    const auto api = context.Connect();
    if (!api.ok()) return api.status();
    auto whole = (*api)->ReadValue(task_id);
    if (!whole.ok()) return whole.status();
    value = *std::move(whole);
  }
  WriteOut(false, value);
  if (!value.empty() && value.back() != '\n' && isatty(STDOUT_FILENO) == 1) std::cout << '\n';
  return absl::OkStatus();
}

absl::StatusOr<int> WaitToEnd(Context& context, uint64_t task_id, bool print_value) {
  const auto api = context.Connect();
  if (!api.ok()) return api.status();
  const absl::Duration timeout = context.options().timeout.value_or(absl::InfiniteDuration());
  (*api)->set_call_timeout(absl::InfiniteDuration());
  const auto task = (*api)->WaitTask(task_id, timeout);
  if (!task.ok()) return context.ExplainTask(task.status(), absl::StrCat(task_id));
  if (!IsTerminal(task->state())) {
    return absl::DeadlineExceededError(absl::StrCat("task ", context.ShortNumber(task_id), " is ",
                                                    StateName(task->state()), " after ",
                                                    absl::FormatDuration(timeout)));
  }
  if (context.options().json) {
    std::cout << ToJson(*task) << '\n';
    return TaskExitCode(task->result());
  }
  if (print_value && task->result().state() == v1::TASK_STATE_SUCCEEDED) {
    const absl::Status printed = PrintValue(context, task_id, task->result());
    if (!printed.ok()) return printed;
  }
  ExplainEnd(context, task_id, task->result());
  return TaskExitCode(task->result());
}

absl::StatusOr<int> FollowToEnd(Context& context, uint64_t task_id, bool print_value) {
  const auto api = context.Connect();
  if (!api.ok()) return api.status();
  v1::ReadOutputRequest request;
  request.set_task_id(task_id);
  request.set_follow(true);
  const absl::Status read = (*api)->ReadOutput(request, [&context](const v1::Output& output) {
    if (context.options().json) {
      std::cout << ToJson(output) << std::endl;
    } else {
      WriteOut(output.stream() == v1::OUTPUT_STREAM_STDERR, output.data());
    }
    return true;
  });
  if (!read.ok()) return context.ExplainTask(read, absl::StrCat(task_id));
  return WaitToEnd(context, task_id, print_value);
}

}  // namespace prefork::cli
