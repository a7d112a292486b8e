// prefork status (what prefork alone does), prefork ping.
#include <iostream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/commands/commands.h"
#include "client/cli/format.h"
#include "client/cli/json.h"
#include "client/cli/options.h"
#include "client/cli/pool_table.h"

namespace prefork::cli {
namespace {

absl::StatusOr<int> Status(Context& context, const NoOptions& /*options*/) {
  return ShowStatus(context);
}

absl::StatusOr<int> Ping(Context& context, const NoOptions& /*options*/) {
  const auto api = context.Connect();
  if (!api.ok()) return api.status();
  const absl::Time start = absl::Now();
  const auto status = (*api)->GetStatus();
  if (!status.ok()) return status.status();
  const absl::Duration took = absl::Now() - start;
  if (context.options().json) {
    google::protobuf::Struct answer;
    (*answer.mutable_fields())["address"] = JsonString((*api)->address());
    (*answer.mutable_fields())["version"] = JsonString(status->version());
    (*answer.mutable_fields())["seconds"] = JsonNumber(absl::ToDoubleSeconds(took));
    std::cout << ToJson(answer) << '\n';
  } else {
    std::cout << "preforkd " << status->version() << " at " << (*api)->address() << " answered in "
              << ShortDuration(took) << '\n';
  }
  return kExitOk;
}

}  // namespace

absl::StatusOr<int> ShowStatus(Context& context) {
  const auto api = context.Connect();
  if (!api.ok()) return api.status();
  const auto status = (*api)->GetStatus();
  if (!status.ok()) return status.status();
  if (context.options().json) {
    std::cout << ToJson(*status) << '\n';
    return kExitOk;
  }
  const Style style = context.out_style();
  std::cout << "preforkd " << status->version() << ", pid " << status->pid() << ", up "
            << ShortDuration(absl::Now() - ToTime(status->started_at())) << ", "
            << ShortBytes(status->rss_bytes()) << ", " << (*api)->address()
            << (status->draining() ? style.Paint(Color::kYellow, ", draining") : "") << '\n'
            << status->tasks_unfinished() << " unfinished and " << status->tasks_known()
            << " known tasks, " << status->sessions() << " sessions\n\n"
            << PoolTable(status->pools()).ToText(style);
  for (const std::string& warning : status->warnings()) {
    std::cout << style.Paint(Color::kYellow, "warning: ") << warning << '\n';
  }
  return kExitOk;
}

void AddStatus(CLI::App& app, Context& context) {
  std::shared_ptr<NoOptions> options;
  AddVerb(app, context, "status", "Show the daemon and its pools (the default verb)", Status,
          &options);
  AddVerb(app, context, "ping", "Ask whether the daemon answers", Ping, &options);
}

}  // namespace prefork::cli
