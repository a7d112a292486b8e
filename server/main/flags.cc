#include "server/main/flags.h"

#include <CLI/CLI.hpp>
#include <utility>

namespace prefork::main {
namespace {

constexpr int kUsageError = 2;

}  // namespace

std::variant<Flags, int> ParseFlags(int argc, const char* const* argv, std::ostream& out,
                                    std::ostream& err) {
  Flags flags;
  std::vector<std::string> short_overrides;  // stronger than --set
  bool check = false;
  bool show = false;
  bool schema = false;
  CLI::App app(
      "Keeps pools of warm worker processes and runs tasks in them; prefork(1) talks to it.",
      "preforkd");
  app.set_version_flag("--version", std::string("preforkd ") + PREFORK_VERSION);
  app.add_option("--config", flags.config_file,
                 "Configuration file instead of the usual one (prefork.toml(5))")
      ->type_name("FILE");
  app.add_option("--set", flags.overrides,
                 "Set one key of the configuration, e.g. pool.default.size=4; may be repeated")
      ->type_name("SECTION.KEY=VALUE");
  const auto add_short = [&app, &short_overrides](const char* flag, const char* key,
                                                  const char* type, const char* help) {
    app.add_option_function<std::string>(
           flag,
           [&short_overrides, key](const std::string& value) {
             short_overrides.push_back(std::string(key) + "=" + value);
           },
           help)
        ->type_name(type);
  };
  add_short("--socket", "daemon.socket", "PATH", "Unix socket for clients (daemon.socket)");
  add_short("--idle-timeout", "daemon.idle_timeout", "TIME",
            "End after so long without sessions and tasks, e.g. 10m (daemon.idle_timeout)");
  add_short("--log-level", "daemon.log_level", "LEVEL",
            "debug, info, warning or error (daemon.log_level)");
  add_short("--worker-program", "daemon.worker_program", "PATH",
            "prefork-worker to use (daemon.worker_program)");
  CLI::Option* check_flag =
      app.add_flag("--check-config", check, "Only say whether the configuration is valid");
  CLI::Option* show_flag =
      app.add_flag("--show-config", show, "Only print the settings in force and their origins");
  CLI::Option* schema_flag =
      app.add_flag("--config-schema", schema, "Only print a JSON schema of the configuration");
  check_flag->excludes(show_flag)->excludes(schema_flag);
  show_flag->excludes(schema_flag);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error, out, err) == 0 ? 0 : kUsageError;
  }
  flags.overrides.insert(flags.overrides.end(), short_overrides.begin(), short_overrides.end());
  if (check) flags.verb = config::ConfigVerb::kCheck;
  if (show) flags.verb = config::ConfigVerb::kShow;
  if (schema) flags.verb = config::ConfigVerb::kSchema;
  return flags;
}

}  // namespace prefork::main
