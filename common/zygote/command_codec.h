#ifndef PREFORK_COMMON_ZYGOTE_COMMAND_CODEC_H_
#define PREFORK_COMMON_ZYGOTE_COMMAND_CODEC_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace prefork::zygote {

// A program to execute: what the payload of a task of the command runtime says.
struct CommandBlock {
  std::vector<std::string> argv;                         // at least one; looked up in PATH
  std::vector<std::pair<std::string, std::string>> env;  // set on top of the worker's environment
  std::string cwd;                                       // empty: the worker's
  struct Limit {
    uint32_t resource;  // RLIMIT_* of this host
    uint64_t value;     // soft and hard; UINT64_MAX is RLIM_INFINITY
    bool operator==(const Limit&) const = default;
  };
  std::vector<Limit> limits;
  std::string stdin_bytes;  // the program's whole standard input

  bool operator==(const CommandBlock&) const = default;
};

// The block as bytes; see command_codec.cc for the layout.
std::string EncodeCommand(const CommandBlock& command);

// Reads what EncodeCommand wrote. INVALID_ARGUMENT names the field that is wrong: a truncated or
// oversized part, an empty argv, a NUL byte in a string that execve would cut there, a name of the
// environment that is empty or holds '='.
absl::StatusOr<CommandBlock> DecodeCommand(std::string_view bytes);

}  // namespace prefork::zygote

#endif  // PREFORK_COMMON_ZYGOTE_COMMAND_CODEC_H_
