// prefork.1 from the command tree.
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "client/cli/command_tree.h"
#include "client/cli/version.h"

namespace prefork::cli {
namespace {

// Text as roff takes it: hyphens that may be copied, no accidental requests.
std::string Roff(const std::string& text) {
  std::string escaped = absl::StrReplaceAll(text, {{"\\", "\\e"}, {"-", "\\-"}});
  std::vector<std::string> lines = absl::StrSplit(escaped, '\n');
  for (std::string& line : lines) {
    if (!line.empty() && (line[0] == '.' || line[0] == '\'')) line.insert(0, "\\&");
  }
  return absl::StrJoin(lines, "\n.br\n");
}

void AppendOptions(const VerbInfo& verb, std::string* page) {
  for (const OptionInfo& option : verb.options) {
    std::vector<std::string> names;
    for (const std::string& name : option.names)
      names.push_back(absl::StrCat("\\fB", Roff(name), "\\fR"));
    absl::StrAppend(page, ".TP\n", absl::StrJoin(names, ", "));
    if (!option.value.empty()) absl::StrAppend(page, " \\fI", Roff(option.value), "\\fR");
    absl::StrAppend(page, "\n", Roff(option.help), "\n");
  }
}

void AppendVerb(const VerbInfo& verb, std::string* page) {
  std::string usage = absl::StrCat("prefork ", absl::StrJoin(verb.path, " "));
  for (const OptionInfo& positional : verb.positionals) {
    absl::StrAppend(&usage, " ", absl::AsciiStrToUpper(positional.names[0]));
  }
  absl::StrAppend(page, ".SS ", Roff(usage), "\n", Roff(verb.help), ".\n");
  if (!verb.aliases.empty()) {
    absl::StrAppend(page, "Also: ", Roff(absl::StrJoin(verb.aliases, ", ")), ".\n");
  }
  AppendOptions(verb, page);
  if (!verb.footer.empty()) absl::StrAppend(page, ".PP\n", Roff(verb.footer), "\n");
}

}  // namespace

std::string ManPage(const std::vector<VerbInfo>& tree) {
  const VerbInfo& program = tree[0];
  std::string page = absl::StrCat(
      ".\\\" Made from the command line by the build; do not edit.\n"
      ".TH PREFORK 1 \"\" \"prefork ",
      kVersion,
      "\" \"User commands\"\n"
      ".SH NAME\nprefork \\- run commands and functions in pools of warm worker processes\n"
      ".SH SYNOPSIS\n.B prefork\n[\\fIOPTIONS\\fR] [\\fIVERB\\fR [\\fIOPTIONS\\fR] ...]\n"
      ".SH DESCRIPTION\n",
      Roff(program.help), ". The work is done by the daemon ", ".BR preforkd (8),\nwhich ",
      ".B prefork\nstarts for its user when none answers. ",
      "Data goes to stdout, everything else to stderr.\n"
      ".SH OPTIONS\nEvery verb takes these.\n");
  page = absl::StrReplaceAll(page, {{" .BR", "\n.BR"}, {"which .B", "which\n.B"}});
  AppendOptions(program, &page);
  absl::StrAppend(&page, ".SH VERBS\n");
  for (size_t i = 1; i < tree.size(); ++i) {
    if (tree[i].children.empty()) AppendVerb(tree[i], &page);
  }
  absl::StrAppend(
      &page, ".SH JSON\n",
      Roff("With --json the messages of the prefork.v1 API are printed in Protobuf's JSON mapping "
           "with the field names of the .proto files: 64-bit integers (so task IDs) and durations "
           "are strings, bytes are base64, enums their full names. map and doctor print one object "
           "a line, as do logs and events."),
      "\n.SH EXIT STATUS\n", Roff(program.footer),
      "\n.SH ENVIRONMENT\n"
      ".TP\n.B PREFORK_ADDRESS\nThe daemon's socket.\n"
      ".TP\n.B PREFORK_DAEMON\nThe program that is started when no daemon answers.\n"
      ".TP\n.B NO_COLOR\nWhen set, no colour.\n"
      ".SH FILES\n"
      ".TP\n.I $XDG_RUNTIME_DIR/prefork/prefork.sock\nThe user's daemon.\n"
      ".TP\n.I /run/prefork/prefork.sock\nThe system's daemon.\n"
      ".TP\n.I ~/.local/state/prefork/preforkd.log\nThe private daemon's log.\n"
      ".SH SEE ALSO\n.BR preforkd (8)\n");
  return page;
}

}  // namespace prefork::cli
