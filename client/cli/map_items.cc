#include "client/cli/map_items.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"

namespace prefork::cli {
namespace {

constexpr char kSeparator[] = ":::";
constexpr char kPlace[] = "{}";

}  // namespace

absl::StatusOr<MapItems> ParseMapItems(const std::vector<std::string>& words, bool has_function,
                                       bool nul_separated, std::istream& input) {
  MapItems parsed;
  const auto separator = std::find(words.begin(), words.end(), kSeparator);
  parsed.command.assign(words.begin(), separator);
  if (has_function && !parsed.command.empty()) {
    return absl::InvalidArgumentError(
        "map takes a function or a command, not both; write items after :::");
  }
  if (!has_function && parsed.command.empty()) {
    return absl::InvalidArgumentError(
        "map what? give a command template (prefork map -- gzip {}) or --function NAME");
  }
  if (separator != words.end()) {
    parsed.items.assign(separator + 1, words.end());
    return parsed;
  }
  const char end = nul_separated ? '\0' : '\n';
  for (std::string line; std::getline(input, line, end);) parsed.items.push_back(line);
  return parsed;
}

std::vector<std::string> Expand(const std::vector<std::string>& command, const std::string& item) {
  std::vector<std::string> expanded;
  bool placed = false;
  for (const std::string& word : command) {
    if (absl::StrContains(word, kPlace)) placed = true;
    expanded.push_back(absl::StrReplaceAll(word, {{kPlace, item}}));
  }
  if (!placed) expanded.push_back(item);
  return expanded;
}

}  // namespace prefork::cli
