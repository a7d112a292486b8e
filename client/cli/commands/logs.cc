// prefork logs: what a task has written.
#include <algorithm>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/commands/commands.h"
#include "client/cli/json.h"
#include "client/cli/options.h"
#include "client/cli/task_output.h"

namespace prefork::cli {
namespace {

struct LogsOptions {
  std::string task;
  bool follow = false;
  size_t lines = 0;
  std::string stream = "both";
};

// The part of `data` from its last `lines` lines on.
std::string LastLines(const std::string& data, size_t lines) {
  size_t start = data.size();
  if (start > 0 && data[start - 1] == '\n') --start;
  for (size_t seen = 0; start > 0; --start) {
    if (data[start - 1] == '\n' && ++seen == lines) break;
  }
  return data.substr(start);
}

absl::StatusOr<int> Logs(Context& context, const LogsOptions& options) {
  const auto id = context.ResolveTask(options.task);
  if (!id.ok()) return id.status();
  const auto api = context.Connect();
  if (!api.ok()) return api.status();
  const bool json = context.options().json;
  v1::ReadOutputRequest request;
  request.set_task_id(*id);
  if (options.stream == "stdout") request.set_stream(v1::OUTPUT_STREAM_STDOUT);
  if (options.stream == "stderr") request.set_stream(v1::OUTPUT_STREAM_STDERR);

  uint64_t read_until[3] = {0, 0, 0};  // by stream
  if (options.lines > 0) {
    std::vector<v1::Output> pieces;
    const absl::Status read = (*api)->ReadOutput(request, [&](const v1::Output& output) {
      pieces.push_back(output);
      read_until[output.stream()] = output.offset() + output.data().size();
      return true;
    });
    if (!read.ok()) return context.ExplainTask(read, options.task);
    std::string all;
    for (const v1::Output& piece : pieces) all.append(piece.data());
    size_t skip = all.size() - LastLines(all, options.lines).size();
    for (v1::Output& piece : pieces) {
      const size_t cut = std::min(skip, piece.data().size());
      skip -= cut;
      if (cut == piece.data().size()) continue;
      piece.set_data(piece.data().substr(cut));
      piece.set_offset(piece.offset() + cut);
      if (json) {
        std::cout << ToJson(piece) << '\n';
      } else {
        WriteOut(piece.stream() == v1::OUTPUT_STREAM_STDERR, piece.data());
      }
    }
    if (!options.follow) return kExitOk;
  }
  request.set_follow(options.follow);
  const absl::Status read = (*api)->ReadOutput(request, [&](const v1::Output& output) {
    if (output.offset() + output.data().size() <= read_until[output.stream()]) return true;
    if (json) {
      std::cout << ToJson(output) << std::endl;
    } else {
      WriteOut(output.stream() == v1::OUTPUT_STREAM_STDERR, output.data());
    }
    return true;
  });
  if (!read.ok()) return context.ExplainTask(read, options.task);
  return kExitOk;
}

}  // namespace

void AddLogs(CLI::App& app, Context& context) {
  std::shared_ptr<LogsOptions> options;
  CLI::App* const verb =
      AddVerb(app, context, "logs", "Print what a task has written", Logs, &options);
  verb->add_option("ID", options->task, "Task")->required();
  verb->add_flag("-f,--follow", options->follow, "Go on until the task has ended");
  verb->add_option("-n,--lines", options->lines, "Only the last lines")
      ->check(CLI::PositiveNumber)
      ->type_name("N");
  verb->add_option("--stream", options->stream, "stdout, stderr or both")
      ->check(CLI::IsMember({"stdout", "stderr", "both"}));
  verb->footer(
      "stdout goes to stdout and stderr to stderr. Ctrl-C ends the following, not the task.");
}

}  // namespace prefork::cli
