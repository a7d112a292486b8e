// prefork map: a function or a command over many items.
//
// The main thread submits (and waits where the client's max_in_flight holds it back), the client's
// thread takes in output and ends, a third draws the progress. What arrives is kept per item until
// its turn: in the order of the items, or with --unordered at once.
#include <atomic>
#include <csignal>
#include <iostream>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "client/cli/commands/commands.h"
#include "client/cli/format.h"
#include "client/cli/json.h"
#include "client/cli/map_items.h"
#include "client/cli/options.h"
#include "client/cli/pool_table.h"
#include "client/cli/progress_line.h"
#include "client/cli/signals.h"
#include "client/cli/task_output.h"

namespace prefork::cli {
namespace {

struct MapOptions {
  TaskOptions task;
  std::string function;
  size_t max_in_flight = 10000;
  bool unordered = false;
  bool progress = false;
  bool keep_going = false;
  bool nul_separated = false;
  CLI::App* verb = nullptr;
};

class MapRun {
 public:
  MapRun(Context& context, const MapOptions& options, MapItems work)
      : context_(context),
        options_(options),
        work_(std::move(work)),
        results_(work_.items.size()) {}

  absl::StatusOr<int> Run(client::Client& client, const client::TaskSpec& base);
  // Submits nothing more, and cancels what is unfinished.
  void Stop();

 private:
  struct ItemResult {
    std::string out;
    std::string err;
    std::optional<absl::StatusOr<client::TaskResult>> end;
    client::TaskHandle task;
  };

  absl::Status SubmitAll(client::Client& client, const client::TaskSpec& base);
  absl::Status SubmitOne(client::Client& client, const client::TaskSpec& spec, size_t index);
  void OnEvent(size_t index, const client::TaskEvent& event);
  void OnDone(size_t index, const absl::StatusOr<client::TaskResult>& result);
  void Print(size_t index, const ItemResult& result);
  void PrintJson(size_t index, const ItemResult& result);
  void Explain(size_t index, const ItemResult& result);
  ProgressCounts Counts();
  bool stopped() {
    absl::MutexLock lock(&mu_);
    return stopped_;
  }

  Context& context_;
  const MapOptions& options_;
  const MapItems work_;
  ProgressLine* line_ = nullptr;  // while it is shown
  absl::Mutex mu_;
  std::vector<ItemResult> results_ ABSL_GUARDED_BY(mu_);
  size_t next_to_print_ ABSL_GUARDED_BY(mu_) = 0;
  size_t done_ ABSL_GUARDED_BY(mu_) = 0;
  size_t failed_ ABSL_GUARDED_BY(mu_) = 0;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
};

ProgressCounts MapRun::Counts() {
  absl::MutexLock lock(&mu_);
  return {.total = results_.size(), .done = done_, .failed = failed_};
}

void MapRun::Stop() {
  std::vector<client::TaskHandle> unfinished;
  {
    absl::MutexLock lock(&mu_);
    stopped_ = true;
    for (const ItemResult& result : results_) {
      if (result.task.valid() && !result.end) unfinished.push_back(result.task);
    }
  }
  for (const client::TaskHandle& task : unfinished) task.Cancel();
}

void MapRun::OnEvent(size_t index, const client::TaskEvent& event) {
  const auto* const output = std::get_if<client::OutputWritten>(&event);
  if (output == nullptr) return;
  absl::MutexLock lock(&mu_);
  (output->is_stderr ? results_[index].err : results_[index].out).append(output->data);
}

void MapRun::OnDone(size_t index, const absl::StatusOr<client::TaskResult>& result) {
  const bool good = result.ok() && result->ok();
  std::vector<std::pair<size_t, ItemResult>> printable;
  {
    absl::MutexLock lock(&mu_);
    results_[index].end = result;
    ++done_;
    if (!good) ++failed_;
    if (options_.unordered) {
      printable.emplace_back(index, std::exchange(results_[index], {}));
      results_[index].end.emplace(absl::UnknownError("printed"));
    }
    while (!options_.unordered && next_to_print_ < results_.size() &&
           results_[next_to_print_].end) {
      printable.emplace_back(next_to_print_, std::move(results_[next_to_print_]));
      results_[next_to_print_].end.emplace(absl::UnknownError("printed"));
      ++next_to_print_;
    }
  }
  const auto print = [&] {
    for (const auto& [which, item] : printable) Print(which, item);
  };
  if (line_ != nullptr) {
    line_->Around(print);
  } else {
    print();
  }
  if (!good && !options_.keep_going && !stopped()) Stop();
}

void MapRun::Print(size_t index, const ItemResult& result) {
  if (context_.options().json) return PrintJson(index, result);
  WriteOut(true, result.err);
  WriteOut(false, result.out);
  if (!result.end->ok() || !(*result.end)->ok()) return Explain(index, result);
  const std::string& value = (*result.end)->value;
  if (!options_.function.empty()) WriteOut(false, value + "\n");
}

void MapRun::PrintJson(size_t index, const ItemResult& result) {
  google::protobuf::Struct line;
  auto& fields = *line.mutable_fields();
  fields["index"] = JsonNumber(static_cast<double>(index));
  fields["item"] = JsonString(work_.items[index]);
  const absl::Status status = result.end->ok() ? ToStatus(**result.end) : result.end->status();
  fields["ok"] = JsonBool(status.ok());
  if (!status.ok()) fields["error"] = JsonString(std::string(status.message()));
  if (result.task.valid()) fields["task_id"] = JsonString(absl::StrCat(result.task.id()));
  if (result.end->ok()) {
    const client::TaskResult& end = **result.end;
    fields["state"] = JsonString(std::string(TaskStateName(end.state)));
    if (!options_.function.empty()) fields["value"] = JsonString(end.value);
    if (end.exit_report != nullptr) {
      fields["cause"] = JsonString(std::string(EndCauseName(end.exit_report->cause)));
      if (end.exit_report->exit_code) fields["exit_code"] = JsonNumber(*end.exit_report->exit_code);
      if (end.exit_report->signal) fields["signal"] = JsonNumber(*end.exit_report->signal);
    }
  }
  if (options_.function.empty()) {
    fields["stdout"] = JsonString(result.out);
    fields["stderr"] = JsonString(result.err);
  }
  std::cout << ToJson(line) << std::endl;
}

void MapRun::Explain(size_t index, const ItemResult& result) {
  const absl::Status status = result.end->ok() ? ToStatus(**result.end) : result.end->status();
  std::cerr << "prefork: item '" << work_.items[index] << "': " << status.message() << '\n';
  if (!result.end->ok() || (*result.end)->exit_report == nullptr) return;
  const client::ExitReport& report = *(*result.end)->exit_report;
  std::cerr << "  " << EndCauseName(report.cause) << ", attempt " << report.attempt << ", worker "
            << report.worker_index << '.' << report.worker_generation << ", pid " << report.pid
            << ", ran " << ShortDuration(report.run_time) << '\n';
}

absl::Status MapRun::SubmitOne(client::Client& client, const client::TaskSpec& spec, size_t index) {
  const auto task = client.Submit(
      spec,
      {.on_done = [this, index](
                      const client::TaskHandle&,
                      const absl::StatusOr<client::TaskResult>& result) { OnDone(index, result); },
       .on_event = [this, index](const client::TaskHandle&,
                                 const client::TaskEvent& event) { OnEvent(index, event); }});
  if (!task.ok()) return task.status();
  bool cancel = false;
  {
    absl::MutexLock lock(&mu_);
    cancel = stopped_;
    if (!results_[index].end) results_[index].task = *task;
  }
  if (cancel) task->Cancel();
  return absl::OkStatus();
}

absl::Status MapRun::SubmitAll(client::Client& client, const client::TaskSpec& base) {
  for (size_t i = 0; i < work_.items.size() && !stopped(); ++i) {
    client::TaskSpec spec = base;
    if (options_.function.empty()) {
      auto command = MakeCommand(options_.task, Expand(work_.command, work_.items[i]));
      if (!command.ok()) return command.status();
      spec.command = *std::move(command);
    } else {
      spec.function = options_.function;
      spec.payload = work_.items[i];
    }
    if (absl::Status submitted = SubmitOne(client, spec, i); !submitted.ok()) return submitted;
  }
  return client.WaitAll();
}

absl::StatusOr<int> MapRun::Run(client::Client& client, const client::TaskSpec& base) {
  const std::string pool = options_.task.pool.empty() ? "default" : options_.task.pool;
  std::optional<ProgressLine> line;
  if (options_.progress) {
    client.api().set_call_timeout(absl::Seconds(1));  // a late answer must not hold up the bar
    line.emplace([this] { return Counts(); },
                 [&client, pool]() -> std::string {
                   const auto state = client.api().GetPool(pool);
                   return state.ok() ? WorkersLine(*state) : "";
                 });
    line_ = &*line;
  }
  const absl::Status submitted = SubmitAll(client, base);
  line_ = nullptr;
  line.reset();
  if (!submitted.ok()) return submitted;
  const ProgressCounts counts = Counts();
  if (counts.failed > 0 || counts.done < counts.total) {
    context_.Talk(absl::StrCat("prefork: ", counts.failed, " of ", counts.total, " items failed, ",
                               counts.total - counts.done, " were not begun"));
    return kExitFailure;
  }
  return kExitOk;
}

absl::StatusOr<int> Map(Context& context, const MapOptions& options) {
  // Made before any thread, used once the run exists.
  absl::Mutex mu;
  MapRun* running = nullptr;
  std::atomic<int> interrupted{0};
  const InterruptWatch watch([&](int signal) {
    absl::MutexLock lock(&mu);
    if (interrupted.exchange(signal) != 0) std::_Exit(128 + signal);
    if (running != nullptr) running->Stop();
  });

  const auto spec = MakeSpec(context, options.task);
  if (!spec.ok()) return spec.status();
  auto work = ParseMapItems(CommandWords(*options.verb, context), !options.function.empty(),
                            options.nul_separated, std::cin);
  if (!work.ok()) return work.status();
  const auto client = context.ConnectSession(
      {.output = options.function.empty(), .exit_reports = context.options().json},
      options.max_in_flight);
  if (!client.ok()) return client.status();
  MapRun run(context, options, *std::move(work));
  {
    absl::MutexLock lock(&mu);
    running = &run;
  }
  auto code = run.Run(**client, *spec);
  {
    absl::MutexLock lock(&mu);
    running = nullptr;
  }
  if (interrupted != 0) return 128 + interrupted;
  if (!code.ok()) return context.ExplainPool(code.status(), options.task.pool);
  return code;
}

}  // namespace

void AddMap(CLI::App& app, Context& context) {
  std::shared_ptr<MapOptions> options;
  CLI::App* const verb = AddVerb(
      app, context, "map", "Run a function or a command for each of many items", Map, &options);
  options->verb = verb;
  verb->add_option("-f,--function", options->function,
                   "Call this function with each item as its argument")
      ->type_name("NAME");
  AddTaskOptions(verb, &options->task);
  AddCommandOptions(verb, &options->task);
  verb->add_flag("-u,--unordered", options->unordered, "Print results as they come");
  verb->add_flag("--progress", options->progress, "A live bar on stderr with the workers' state");
  verb->add_flag("-k,--keep-going", options->keep_going,
                 "Go on after a failure; without it the rest is cancelled");
  verb->add_flag("-0,--null", options->nul_separated, "Items on stdin end with NUL, not newline");
  verb->add_option("--max-in-flight", options->max_in_flight, "Unfinished tasks at once")
      ->check(CLI::PositiveNumber)
      ->type_name("N");
  TakeCommand(verb, &context);
  verb->footer(
      "Items are the words after :::, or else the lines of stdin. In a command, {} is the item;\n"
      "without {} the item is its last argument.\n"
      "  find . -name '*.log' | prefork map --progress -- gzip -9\n"
      "  prefork map -p native -f square ::: 1 2 3");
}

}  // namespace prefork::cli
