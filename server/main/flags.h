#ifndef PREFORK_SERVER_MAIN_FLAGS_H_
#define PREFORK_SERVER_MAIN_FLAGS_H_

#include <optional>
#include <ostream>
#include <string>
#include <variant>
#include <vector>

#include "server/config/verbs.h"

namespace prefork::main {

// The command line. Flags for single settings are short for an entry in `overrides`.
struct Flags {
  std::string config_file;
  std::vector<std::string> overrides;  // "section.key=value"
  std::optional<config::ConfigVerb> verb;
};

// The flags, or the exit code of a call that is over: help and version go to `out`, usage errors to
// `err` with code 2.
std::variant<Flags, int> ParseFlags(int argc, const char* const* argv, std::ostream& out,
                                    std::ostream& err);

}  // namespace prefork::main

#endif  // PREFORK_SERVER_MAIN_FLAGS_H_
