// prefork daemon, shutdown, config, version: the daemon as a program.
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/commands/commands.h"
#include "client/cli/format.h"
#include "client/cli/json.h"
#include "client/cli/options.h"
#include "client/cli/version.h"
#include "client/cpp/autostart.h"
#include "common/os/errno_status.h"

namespace prefork::cli {
namespace {

struct ShutdownOptions {
  bool now = false;
  std::optional<absl::Duration> drain_timeout;
};
struct ConfigOptions {
  std::string file;
  bool effective = false;
};

absl::StatusOr<int> Shutdown(Context& context, const ShutdownOptions& options) {
  const auto api = context.Connect();
  if (!api.ok()) return api.status();
  v1::ShutdownRequest request;
  request.set_now(options.now);
  if (options.drain_timeout) {
    absl::Duration rest;
    request.mutable_drain_timeout()->set_seconds(
        absl::IDivDuration(*options.drain_timeout, absl::Seconds(1), &rest));
    request.mutable_drain_timeout()->set_nanos(
        static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
  }
  const absl::Status ended = (*api)->Shutdown(request);
  if (!ended.ok()) return ended;
  return kExitOk;
}

absl::StatusOr<int> Start(Context& context, const NoOptions& /*options*/) {
  const auto api = context.Connect(Context::Start::kMay);
  if (!api.ok()) return api.status();
  const auto status = (*api)->GetStatus();
  if (!status.ok()) return status.status();
  if (context.options().json) {
    std::cout << ToJson(*status) << '\n';
  } else {
    context.Talk(absl::StrCat("preforkd ", status->version(), " listens on ", (*api)->address()));
  }
  return kExitOk;
}

absl::StatusOr<int> PrintLogPath(Context& /*context*/, const NoOptions& /*options*/) {
  std::cout << client::PrivateDaemonLogPath() << '\n';
  return kExitOk;
}

// Becomes preforkd, which alone knows its configuration.
absl::StatusOr<int> BecomeDaemon(const std::vector<std::string>& arguments) {
  const auto daemon = client::FindDaemon();
  if (!daemon.ok()) return daemon.status();
  std::vector<char*> argv = {const_cast<char*>(daemon->c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  std::cout.flush();
  execv(daemon->c_str(), argv.data());
  return os::ErrnoStatus(errno, absl::StrCat("execute ", *daemon));
}

absl::StatusOr<int> CheckConfig(Context& /*context*/, const ConfigOptions& options) {
  std::vector<std::string> arguments = {"--check-config"};
  if (!options.file.empty()) arguments.insert(arguments.end(), {"--config", options.file});
  return BecomeDaemon(arguments);
}

absl::StatusOr<int> ShowConfig(Context& /*context*/, const ConfigOptions& options) {
  std::vector<std::string> arguments = {"--show-config"};
  if (!options.file.empty()) arguments.insert(arguments.end(), {"--config", options.file});
  return BecomeDaemon(arguments);
}

absl::StatusOr<int> Version(Context& context, const NoOptions& /*options*/) {
  std::string daemon;
  const auto api = context.Connect();
  if (api.ok()) {
    const auto status = (*api)->GetStatus();
    if (status.ok()) daemon = status->version();
  }
  if (context.options().json) {
    google::protobuf::Struct versions;
    (*versions.mutable_fields())["prefork"] = JsonString(kVersion);
    if (!daemon.empty()) (*versions.mutable_fields())["preforkd"] = JsonString(daemon);
    std::cout << ToJson(versions) << '\n';
    return kExitOk;
  }
  std::cout << "prefork " << kVersion << '\n'
            << (daemon.empty() ? "preforkd: none answers" : absl::StrCat("preforkd ", daemon))
            << '\n';
  return kExitOk;
}

}  // namespace

void AddDaemon(CLI::App& app, Context& context) {
  std::shared_ptr<ShutdownOptions> shutdown_options;
  const auto add_shutdown = [&](CLI::App& parent, const char* name) {
    CLI::App* const verb = AddVerb(parent, context, name, "End the daemon; first finish what runs",
                                   Shutdown, &shutdown_options);
    verb->add_flag("--now", shutdown_options->now, "Kill what runs");
    AddDuration(verb, "--drain-timeout", &shutdown_options->drain_timeout,
                "Kill what runs after so long");
  };
  add_shutdown(app, "shutdown");

  std::shared_ptr<NoOptions> none;
  CLI::App* const daemon = app.add_subcommand("daemon", "Start and stop the private daemon");
  daemon->require_subcommand(1);
  AddVerb(*daemon, context, "start", "Start it, unless one answers already", Start, &none);
  add_shutdown(*daemon, "stop");
  AddVerb(*daemon, context, "log", "Print where its log is", PrintLogPath, &none);

  CLI::App* const config =
      app.add_subcommand("config", "Check and show the daemon's configuration");
  config->require_subcommand(1);
  std::shared_ptr<ConfigOptions> options;
  AddVerb(*config, context, "check", "Say what is wrong with it, by file and line", CheckConfig,
          &options)
      ->add_option("FILE", options->file, "Instead of the default file");
  CLI::App* const show =
      AddVerb(*config, context, "show", "Print the values in force, with their origin", ShowConfig,
              &options);
  show->add_option("FILE", options->file, "Instead of the default file");
  show->add_flag("--effective", options->effective, "With all defaults (always so)");

  AddVerb(app, context, "version", "Print the versions of client and daemon", Version, &none);
}

}  // namespace prefork::cli
