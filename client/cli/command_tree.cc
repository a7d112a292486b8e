#include "client/cli/command_tree.h"

namespace prefork::cli {
namespace {

OptionInfo ReadOption(const CLI::Option* option) {
  OptionInfo info;
  for (const std::string& name : option->get_snames()) info.names.push_back("-" + name);
  for (const std::string& name : option->get_lnames()) info.names.push_back("--" + name);
  if (info.names.empty()) info.names.push_back(option->get_single_name());
  if (option->get_items_expected_max() > 0) {
    info.value = option->get_type_name().empty() ? "VALUE" : option->get_type_name();
    const size_t check = info.value.find_first_of(":{ ");  // "INT:POSITIVE", "UINT in [1 - 4096]"
    if (check != std::string::npos) info.value = info.value.substr(0, check);
    if (info.value.empty()) info.value = "WORD";
  }
  info.help = option->get_description();
  return info;
}

void ReadVerb(const CLI::App* app, const std::vector<std::string>& path,
              std::vector<VerbInfo>* tree) {
  VerbInfo verb;
  verb.path = path;
  verb.aliases = app->get_aliases();
  verb.help = app->get_description();
  verb.footer = app->get_footer();
  for (const CLI::Option* option : app->get_options()) {
    if (option->get_group().empty()) continue;  // hidden
    (option->get_positional() ? verb.positionals : verb.options).push_back(ReadOption(option));
  }
  std::vector<const CLI::App*> children;
  for (const CLI::App* child : app->get_subcommands([](const CLI::App*) { return true; })) {
    if (child->get_group().empty()) continue;
    children.push_back(child);
    verb.children.push_back(child->get_name());
  }
  tree->push_back(std::move(verb));
  for (const CLI::App* child : children) {
    std::vector<std::string> longer = path;
    longer.push_back(child->get_name());
    ReadVerb(child, longer, tree);
  }
}

}  // namespace

std::vector<VerbInfo> ReadTree(const CLI::App& app) {
  std::vector<VerbInfo> tree;
  ReadVerb(&app, {}, &tree);
  return tree;
}

}  // namespace prefork::cli
