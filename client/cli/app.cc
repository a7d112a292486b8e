#include "client/cli/app.h"

#include <algorithm>
#include <iostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "client/cli/commands/commands.h"
#include "client/cli/options.h"
#include "client/cli/version.h"
#include "common/text/nearest.h"

namespace prefork::cli {
namespace {

// "no verb 'sttaus'; did you mean 'status'?" for a first word that is no verb.
std::string ExplainUnknown(const CLI::App& app, const std::vector<std::string>& arguments) {
  for (const std::string& word : arguments) {
    if (word.empty() || word[0] == '-') continue;
    std::vector<std::string> verbs;
    for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; })) {
      verbs.push_back(verb->get_name());
      for (const std::string& alias : verb->get_aliases()) verbs.push_back(alias);
    }
    if (std::find(verbs.begin(), verbs.end(), word) != verbs.end()) return "";
    const std::string nearest = text::Nearest(word, verbs);
    return absl::StrCat("no verb '", word, "'; ",
                        nearest.empty() ? "prefork --help lists them"
                                        : absl::StrCat("did you mean '", nearest, "'?"));
  }
  return "";
}

// Takes `--` and what follows off the arguments of a verb that ends in a command: CLI11 would read
// it as arguments of the program.
void TakeWordsAfterDashes(std::vector<std::string>* arguments, Context* context) {
  const auto dashes = std::find(arguments->begin(), arguments->end(), "--");
  if (dashes == arguments->end()) return;
  const bool wanted = std::any_of(arguments->begin(), dashes, [](const std::string& word) {
    return word == "run" || word == "submit" || word == "add" || word == "map";
  });
  if (!wanted) return;
  context->words_after_dashes.assign(dashes + 1, arguments->end());
  arguments->erase(dashes, arguments->end());
}

int Fail(const std::string& message, int code) {
  std::cerr << "prefork: " << message << '\n';
  return code;
}

const CLI::App* ParsedVerb(const CLI::App* app) {
  for (const auto& verbs = app->get_subcommands(); !verbs.empty();) return ParsedVerb(verbs[0]);
  return app;
}

// CLI11's own words, on one line, with where to read on.
int ExplainParseError(const CLI::App& app, const CLI::ParseError& error,
                      const std::vector<std::string>& arguments) {
  if (app.get_subcommands().empty()) {
    const std::string unknown = ExplainUnknown(app, arguments);
    if (!unknown.empty()) return Fail(unknown, kExitUsage);
  }
  std::string message = error.what();
  for (char& c : message) {
    if (c == '\n') c = ' ';
  }
  const CLI::App* const verb = ParsedVerb(&app);
  const std::string help =
      verb == &app ? "prefork --help" : absl::StrCat("prefork ", verb->get_name(), " --help");
  return Fail(absl::StrCat(message, "; see ", help), kExitUsage);
}

}  // namespace

std::unique_ptr<CLI::App> MakeApp(Context& context) {
  auto app = std::make_unique<CLI::App>(
      "Run commands and functions in pools of warm worker processes", "prefork");
  app->set_version_flag("-V,--version", std::string("prefork ") + kVersion);
  app->require_subcommand(0, 1);
  app->fallthrough();
  app->get_formatter()->column_width(34);
  AddGlobalOptions(app.get(), &context.options());
  for (const auto add :
       {AddRun, AddSubmit, AddCall, AddMap, AddWait, AddLogs, AddList, AddShow, AddStop, AddStatus,
        AddTop, AddWorkers, AddPools, AddSteer, AddEvents, AddDoctor, AddDaemon, AddCompletion}) {
    add(*app, context);
  }
  app->footer(
      "IDs: the short number that tables show, or the full ID that -q and --json print.\n"
      "Exit codes: 0 ok, 1 failure, 2 usage, 3 daemon not reachable, 4 not found, 5 timed out;\n"
      "run, call, wait and submit --wait end with the task's own code, 128+N for signal N.");
  return app;
}

int Main(int argc, const char* const* argv) {
  Context context;
  context.action = [&context] { return ShowStatus(context); };
  const std::unique_ptr<CLI::App> app = MakeApp(context);
  std::vector<std::string> arguments(argv + 1, argv + argc);
  TakeWordsAfterDashes(&arguments, &context);
  try {
    app->parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::Success& wanted) {
    return app->exit(wanted);
  } catch (const CLI::ParseError& error) {
    return ExplainParseError(*app, error, arguments);
  }
  const absl::StatusOr<int> code = context.action();
  std::cout.flush();
  if (!code.ok()) return Fail(std::string(code.status().message()), ExitCodeOf(code.status()));
  if (!std::cout) return Fail("cannot write to stdout", kExitFailure);
  return *code;
}

}  // namespace prefork::cli
