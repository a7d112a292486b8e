// Completion scripts for three shells. All work the same way: the words typed so far that are verbs
// name a place in the tree, and what the tree holds there is offered. Options that take a value
// leave the next word to the shell's file names.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "client/cli/command_tree.h"

namespace prefork::cli {
namespace {

std::vector<std::string> Offers(const VerbInfo& verb, const VerbInfo& program) {
  std::vector<std::string> words = verb.children;
  for (const VerbInfo* place : {&verb, &program}) {
    for (const OptionInfo& option : place->options) {
      words.insert(words.end(), option.names.begin(), option.names.end());
    }
    if (&verb == &program) break;
  }
  return words;
}

// Names of options that are followed by a value.
std::vector<std::string> ValueOptions(const std::vector<VerbInfo>& tree) {
  std::vector<std::string> names;
  for (const VerbInfo& verb : tree) {
    for (const OptionInfo& option : verb.options) {
      if (!option.value.empty()) {
        names.insert(names.end(), option.names.begin(), option.names.end());
      }
    }
  }
  return names;
}

std::string SingleQuoted(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

}  // namespace

std::string BashCompletion(const std::vector<VerbInfo>& tree) {
  std::string script = absl::StrCat(
      "# bash completion for prefork; made by `prefork completion bash`\n"
      "_prefork() {\n"
      "  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} path= word\n"
      "  local -A offers=(\n");
  for (const VerbInfo& verb : tree) {
    absl::StrAppend(&script, "    [\"/", absl::StrJoin(verb.path, "/"), "\"]=\"",
                    absl::StrJoin(Offers(verb, tree[0]), " "), "\"\n");
  }
  absl::StrAppend(
      &script,
      "  )\n"
      "  local values=\" ",
      absl::StrJoin(ValueOptions(tree), " "),
      " \"\n"
      "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
      "    [[ $word == -- ]] && { COMPREPLY=($(compgen -f -- \"$current\")); return; }\n"
      "    [[ $word == -* ]] && continue\n"
      "    [[ -n ${offers[\"${path%/}/$word\"]} ]] && path=\"${path%/}/$word\"\n"
      "  done\n"
      "  if [[ $current != -* && $values == *\" $previous \"* ]]; then\n"
      "    COMPREPLY=($(compgen -f -- \"$current\"))\n"
      "  else\n"
      "    COMPREPLY=($(compgen -W \"${offers[\"${path:-/}\"]}\" -- \"$current\"))\n"
      "  fi\n"
      "}\n"
      "complete -o default -F _prefork prefork\n");
  return script;
}

std::string ZshCompletion(const std::vector<VerbInfo>& tree) {
  std::string script =
      "#compdef prefork\n"
      "# made by `prefork completion zsh`\n"
      "_prefork() {\n"
      "  local place= word\n"
      "  local -A offers=(\n";
  for (const VerbInfo& verb : tree) {
    absl::StrAppend(&script, "    ", SingleQuoted(absl::StrCat("/", absl::StrJoin(verb.path, "/"))),
                    " ", SingleQuoted(absl::StrJoin(Offers(verb, tree[0]), " ")), "\n");
  }
  absl::StrAppend(
      &script,
      "  )\n"
      "  local values=' ",
      absl::StrJoin(ValueOptions(tree), " "),
      " '\n"
      "  for word in \"${(@)words[2,CURRENT-1]}\"; do\n"
      "    [[ $word == -- ]] && { _files; return; }\n"
      "    [[ $word == -* ]] && continue\n"
      "    (( ${+offers[${place%/}/$word]} )) && place=\"${place%/}/$word\"\n"
      "  done\n"
      "  if [[ ${words[CURRENT]} != -* && $values == *\" ${words[CURRENT-1]} \"* ]]; then\n"
      "    _files\n"
      "  else\n"
      "    compadd -- ${=offers[${place:-/}]} || _files\n"
      "  fi\n"
      "}\n"
      "compdef _prefork prefork\n");
  return script;
}

std::string FishCompletion(const std::vector<VerbInfo>& tree) {
  std::string script =
      "# fish completion for prefork; made by `prefork completion fish`\n"
      "complete -c prefork -f -n __fish_use_subcommand\n";
  for (const VerbInfo& verb : tree) {
    std::string condition = "__fish_use_subcommand";
    if (!verb.path.empty()) {
      condition = absl::StrCat("__fish_seen_subcommand_from ", verb.path.back());
    }
    if (verb.path.size() > 1) {
      absl::StrAppend(&condition, "; and __fish_seen_subcommand_from ", verb.path.front());
    }
    for (const OptionInfo& option : verb.options) {
      std::string line = "complete -c prefork";
      if (!verb.path.empty()) absl::StrAppend(&line, " -n ", SingleQuoted(condition));
      for (const std::string& name : option.names) {
        absl::StrAppend(&line, name.size() == 2 ? " -s " : " -l ",
                        name.substr(name.size() == 2 ? 1 : 2));
      }
      if (!option.value.empty()) absl::StrAppend(&line, " -r");
      absl::StrAppend(&script, line, " -d ", SingleQuoted(option.help), "\n");
    }
    for (const std::string& child : verb.children) {
      absl::StrAppend(&script, "complete -c prefork -f -n ", SingleQuoted(condition), " -a ", child,
                      "\n");
    }
  }
  return script;
}

}  // namespace prefork::cli
