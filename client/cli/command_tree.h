#ifndef PREFORK_CLIENT_CLI_COMMAND_TREE_H_
#define PREFORK_CLIENT_CLI_COMMAND_TREE_H_

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

// The command line as data, read from the parser itself: completions and the man page are written
// from it, so they know exactly what the program knows.
namespace prefork::cli {

struct OptionInfo {
  std::vector<std::string> names;  // "-p", "--pool"
  std::string value;               // "POOL"; empty for a flag
  std::string help;
};
struct VerbInfo {
  std::vector<std::string> path;     // {"pool", "create"}; empty: the program itself
  std::vector<std::string> aliases;  // of the last word
  std::string help;
  std::string footer;
  std::vector<OptionInfo> options;
  std::vector<OptionInfo> positionals;  // names has one word
  std::vector<std::string> children;
};

// The program first, then every verb that is not hidden, in order.
std::vector<VerbInfo> ReadTree(const CLI::App& app);

std::string BashCompletion(const std::vector<VerbInfo>& tree);
std::string ZshCompletion(const std::vector<VerbInfo>& tree);
std::string FishCompletion(const std::vector<VerbInfo>& tree);
// prefork.1, in man(7).
std::string ManPage(const std::vector<VerbInfo>& tree);

}  // namespace prefork::cli

#endif  // PREFORK_CLIENT_CLI_COMMAND_TREE_H_
