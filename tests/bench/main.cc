// prefork_bench [--json] [--only NAME]... [--rounds N] [--list]
// prefork_bench --echo-server SOCKET     the other process of the gRPC references
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "tests/bench/echo_server.h"
#include "tests/bench/report.h"
#include "tests/bench/row.h"

namespace prefork::bench {
namespace {

int RunRows(const std::vector<std::string>& only, int rounds, bool json) {
  int failures = 0;
  if (!json) std::fputs(TableHeader().c_str(), stdout);
  for (const Row& row : AllRows()) {
    const bool wanted = only.empty() || std::find(only.begin(), only.end(), row.name) != only.end();
    if (!wanted) continue;
    const absl::StatusOr<std::vector<Round>> measured = row.measure(rounds);
    if (absl::IsUnimplemented(measured.status())) {
      std::fprintf(stderr, "%s: left out: %s\n", std::string(row.name).c_str(),
                   std::string(measured.status().message()).c_str());
      continue;
    }
    if (!measured.ok()) {
      std::fprintf(stderr, "%s: %s\n", std::string(row.name).c_str(),
                   measured.status().ToString().c_str());
      ++failures;
      continue;
    }
    const Summary summary = Summarize(row, *measured);
    std::fputs((json ? ToJson(summary) : ToTableLines(summary)).c_str(), stdout);
    std::fflush(stdout);
  }
  return failures == 0 ? 0 : 1;
}

int Main(int argc, char** argv) {
  CLI::App app("Measures prefork against the limits of this machine, in the same run.");
  bool json = false;
  bool list = false;
  int rounds = 5;
  std::vector<std::string> only;
  std::string echo_socket;
  std::vector<std::string> names;
  for (const Row& row : AllRows()) names.emplace_back(row.name);
  app.add_flag("--json", json, "One JSON object a line");
  app.add_flag("--list", list, "Print the names of the rows");
  app.add_option("--only", only, "Only this row; may be repeated")->check(CLI::IsMember(names));
  app.add_option("--rounds", rounds, "Rounds of each row")->check(CLI::Range(1, 1000));
  app.add_option("--echo-server", echo_socket)->group("");
  CLI11_PARSE(app, argc, argv);
  if (!echo_socket.empty()) return RunEchoServer(echo_socket);
  if (list) {
    for (const std::string& name : names) std::puts(name.c_str());
    return 0;
  }
  return RunRows(only, rounds, json);
}

}  // namespace
}  // namespace prefork::bench

int main(int argc, char** argv) {
  // CLI11 throws for what is wrong with the program, not with its arguments.
  try {
    return prefork::bench::Main(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "prefork_bench: %s\n", error.what());
    return 1;
  }
}
