#ifndef PREFORK_CLIENT_CLI_MAP_ITEMS_H_
#define PREFORK_CLIENT_CLI_MAP_ITEMS_H_

#include <istream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace prefork::cli {

// What `map` works on: a command template (empty for a function) and the items.
struct MapItems {
  std::vector<std::string> command;
  std::vector<std::string> items;
};

// Splits the words after the options at `:::`: the template before, items behind; without it the
// items are the lines of `input`, or of NUL-ended pieces. INVALID_ARGUMENT when a command is given
// for a function, or none where one is needed.
absl::StatusOr<MapItems> ParseMapItems(const std::vector<std::string>& words, bool has_function,
                                       bool nul_separated, std::istream& input);

// The template with every {} replaced by the item; the item at the end when there is no {}.
std::vector<std::string> Expand(const std::vector<std::string>& command, const std::string& item);

}  // namespace prefork::cli

#endif  // PREFORK_CLIENT_CLI_MAP_ITEMS_H_
