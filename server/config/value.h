#ifndef PREFORK_SERVER_CONFIG_VALUE_H_
#define PREFORK_SERVER_CONFIG_VALUE_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/config/config.h"

namespace prefork::config {

// How a key's value is written.
enum class ValueType : uint8_t {
  kText,
  kPath,   // absolute
  kCount,  // whole number
  kBytes,
  kDuration,
  kFileMode,  // octal
  kTextList,
  kPathList,
  kTextMap,
  kRuntime,
  kLogLevel,
};

// Where a key's value is kept.
using Slot =
    std::variant<std::string*, uint32_t*, uint64_t*, absl::Duration*, std::vector<std::string>*,
                 std::map<std::string, std::string>*, pool::Runtime*, LogLevel*>;

// What a key may hold. Numbers, sizes and durations (in nanoseconds) are from `min` to `max`.
struct ValueRule {
  ValueType type;
  uint64_t min = 0;
  uint64_t max = UINT64_MAX;
};

// A value as some source has it, not yet understood.
struct RawValue {
  // Something that no key can hold; the text names it.
  struct Unusable {
    std::string what;
  };
  std::variant<std::string, int64_t, Unusable, std::vector<std::string>,
               std::map<std::string, std::string>>
      data;
  // From an environment variable or a flag: the text stands for any type; lists are separated by
  // commas, maps are NAME=VALUE lists.
  bool plain_text = false;
};

// Reads `raw` as the rule says into the slot. INVALID_ARGUMENT says what it should be, without the
// key's name; the slot is unchanged then.
absl::Status Assign(const ValueRule& rule, const RawValue& raw, const Slot& slot);

// The slot's value as TOML that reads back as the same value.
std::string ToToml(ValueType type, const Slot& slot);

// `text` as a TOML basic string, quotes included. JSON has the same form.
std::string Quote(std::string_view text);

// "a duration such as \"30s\"", for error messages and documentation.
std::string_view Describe(ValueType type);

// The allowed words of a type; empty for types that are no choice.
std::vector<std::string> Choices(ValueType type);

}  // namespace prefork::config

#endif  // PREFORK_SERVER_CONFIG_VALUE_H_
