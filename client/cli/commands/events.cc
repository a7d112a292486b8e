// prefork events: what happens in the daemon, as it happens.
#include <iostream>
#include <memory>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/commands/commands.h"
#include "client/cli/format.h"
#include "client/cli/json.h"
#include "client/cli/options.h"
#include "client/cli/pool_table.h"

namespace prefork::cli {
namespace {

struct EventsOptions {
  uint64_t after = 0;
  bool follow = false;
};

std::string Describe(Context& context, const v1::TaskEvent& event) {
  std::string task = absl::StrCat("task ", context.ShortNumber(event.task_id()), " ");
  const Style style = context.out_style();
  switch (event.event_case()) {
    case v1::TaskEvent::kState:
      return task + style.Paint(ColorOf(event.state().state()), StateName(event.state().state()));
    case v1::TaskEvent::kFinished:
      return absl::StrCat(
          task, style.Paint(ColorOf(event.finished().state()), StateName(event.finished().state())),
          " ", event.finished().exit_report().detail());
    case v1::TaskEvent::kRetry:
      return absl::StrCat(task, "will be tried again: ", event.retry().report().detail());
    case v1::TaskEvent::kProgress:
      return absl::StrCat(task, "progress ", event.progress().done(), "/", event.progress().total(),
                          " ", event.progress().text());
    case v1::TaskEvent::kOutput:
      return absl::StrCat(task, "wrote ", absl::CHexEscape(event.output().data()));
    case v1::TaskEvent::kPartial:
      return absl::StrCat(task, "partial result ", event.partial().index());
    default:
      return task;
  }
}

std::string Describe(Context& context, const v1::Event& event) {
  switch (event.kind_case()) {
    case v1::Event::kTask:
      return Describe(context, event.task());
    case v1::Event::kWorker: {
      const v1::Worker& worker = event.worker().worker();
      std::string text = absl::StrCat("worker ", worker.pool(), "/", worker.index(), ".",
                                      worker.generation(), " ", WorkerStateName(worker.state()));
      if (worker.state() == v1::WORKER_STATE_EXITED) {
        absl::StrAppend(&text, " (", WorkerExitReasonName(worker.exit_reason()), ") ",
                        event.worker().exit_report().detail());
      }
      return text;
    }
    case v1::Event::kPool:
      return absl::StrCat("pool ", WorkersLine(event.pool().pool()), " ",
                          event.pool().pool().reason());
    default:
      return "an event that this version does not know";
  }
}

absl::StatusOr<int> Events(Context& context, const EventsOptions& options) {
  if (!options.follow && options.after == 0) {
    return absl::InvalidArgumentError(
        "which events? -f prints those to come, --after N those since that sequence number");
  }
  const auto api = context.Connect();
  if (!api.ok()) return api.status();
  const auto status = (*api)->GetStatus();
  if (!status.ok()) return status.status();
  const uint64_t last = status->last_sequence();
  if (!options.follow && options.after >= last) return kExitOk;
  v1::WatchEventsRequest request;
  request.set_after_sequence(options.after);
  const absl::Status watched = (*api)->WatchEvents(request, [&](const v1::Event& event) {
    if (context.options().json) {
      std::cout << ToJson(event) << std::endl;
    } else {
      std::cout << event.sequence() << ' ' << ShortTime(ToTime(event.time()), absl::Now()) << ' '
                << Describe(context, event) << std::endl;
    }
    return options.follow || event.sequence() < last;
  });
  if (!watched.ok()) return watched;
  return kExitOk;
}

}  // namespace

void AddEvents(CLI::App& app, Context& context) {
  std::shared_ptr<EventsOptions> options;
  CLI::App* const verb =
      AddVerb(app, context, "events", "Print what happens in the daemon", Events, &options);
  verb->add_flag("-f,--follow", options->follow,
                 "Go on for ever; resumes by itself after a broken connection");
  verb->add_option("--after", options->after, "Begin after this sequence number")
      ->type_name("SEQUENCE");
  verb->footer("With --after alone, those up to now.");
}

}  // namespace prefork::cli
