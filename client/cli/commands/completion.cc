// prefork completion, and the hidden verb that writes the man page at build time.
#include <iostream>
#include <memory>
#include <string>

#include "client/cli/command_tree.h"
#include "client/cli/commands/commands.h"
#include "client/cli/options.h"

namespace prefork::cli {
namespace {

struct ScriptOptions {
  std::string shell;
  const CLI::App* app = nullptr;
};

absl::StatusOr<int> Completion(Context& /*context*/, const ScriptOptions& options) {
  const std::vector<VerbInfo> tree = ReadTree(*options.app);
  if (options.shell == "bash") std::cout << BashCompletion(tree);
  if (options.shell == "zsh") std::cout << ZshCompletion(tree);
  if (options.shell == "fish") std::cout << FishCompletion(tree);
  return kExitOk;
}

absl::StatusOr<int> PrintManPage(Context& /*context*/, const ScriptOptions& options) {
  std::cout << ManPage(ReadTree(*options.app));
  return kExitOk;
}

}  // namespace

void AddCompletion(CLI::App& app, Context& context) {
  std::shared_ptr<ScriptOptions> options;
  CLI::App* const verb = AddVerb(app, context, "completion", "Print a shell's completion script",
                                 Completion, &options);
  options->app = &app;
  verb->add_option("SHELL", options->shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  verb->footer("For this shell only: source <(prefork completion bash)");

  AddVerb(app, context, "man-page", "Print prefork.1", PrintManPage, &options)->group("");
  options->app = &app;
}

}  // namespace prefork::cli
