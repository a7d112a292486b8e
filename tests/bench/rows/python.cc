// The rows whose client is Python: a program in ../python measures prefork and what else a Python
// programmer has, side by side in one process, and prints a line a round:
//
//   prefork=81234 <TAB> ProcessPoolExecutor=4321 <TAB> loky=3456
//
// The first figure is the row's, the second the reference that the row's table names, and the others
// stand below it.
#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/bench/row.h"
#include "tests/integration/cli_run.h"
#include "tests/integration/daemon_fixture.h"

namespace prefork::bench {
namespace {

#ifdef PREFORK_PYTHON
constexpr char kPython[] = PREFORK_PYTHON;
constexpr char kPackage[] = PREFORK_PYTHON_PACKAGE;
constexpr char kPrograms[] = PREFORK_PYTHON_ROWS;
#else
constexpr char kPython[] = "";
constexpr char kPackage[] = "";
constexpr char kPrograms[] = "";
#endif

constexpr absl::Duration kPatience = absl::Minutes(10);
// The program's exit code when something that it imports is not there; its stderr says what.
constexpr int kMissing = 3;

absl::StatusOr<Round> ParseRound(const std::string& row, const std::string& line) {
  std::vector<Figure> figures;
  for (const std::string& field : std::vector<std::string>(absl::StrSplit(line, '\t'))) {
    const size_t name_end = field.rfind('=');  // a name may have others
    Figure figure{.name = field.substr(0, name_end)};
    if (name_end == std::string::npos ||
        !absl::SimpleAtod(field.substr(name_end + 1), &figure.value)) {
      return absl::InternalError(absl::StrCat("'", line, "' is not a round of figures"));
    }
    figures.push_back(std::move(figure));
  }
  const auto known = std::find_if(AllRows().begin(), AllRows().end(),
                                  [&](const Row& each) { return each.name == row; });
  if (known == AllRows().end() || figures.size() < 2 || figures[1].name != known->reference) {
    return absl::InternalError(
        absl::StrCat("the second figure of '", line, "' is not the reference of ", row));
  }
  return Round{.value = figures[0].value,
               .reference = figures[1].value,
               .others = {figures.begin() + 2, figures.end()}};
}

}  // namespace

absl::StatusOr<std::vector<Round>> MeasureInPython(const std::string& row, int rounds) {
  if (kPython[0] == '\0') {
    return absl::UnimplementedError(
        "this build has no Python package; tests/bench/run makes one that has");
  }
  auto daemon = testing::Daemon::Start({});
  if (!daemon.ok()) return daemon.status();
  testing::CliRun program({kPython, kPrograms, row, absl::StrCat(rounds)}, "",
                          {{"PREFORK_ADDRESS", (*daemon)->address()},
                           {"PREFORK_DAEMON", testing::DaemonProgram()},
                           {"PYTHONPATH", kPackage}});
  const testing::CliRun::Result result = program.Finish(kPatience);
  if (result.code == kMissing)
    return absl::UnimplementedError(absl::StripAsciiWhitespace(result.err));
  if (result.code != 0) {
    return absl::InternalError(
        absl::StrCat(kPrograms, " ", row, " ended with ", result.code, ": ", result.err));
  }
  std::vector<Round> all;
  for (const std::string& line :
       std::vector<std::string>(absl::StrSplit(result.out, '\n', absl::SkipEmpty()))) {
    absl::StatusOr<Round> round = ParseRound(row, line);
    if (!round.ok()) return round.status();
    all.push_back(*std::move(round));
  }
  return all;
}

}  // namespace prefork::bench
