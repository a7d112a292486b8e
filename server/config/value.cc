#include "server/config/value.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/text/nearest.h"
#include "common/text/units.h"
#include "common/text/utf8.h"
#include "common/text/views.h"

namespace prefork::config {
namespace {

using text::ToAbsl;

constexpr std::array<std::pair<std::string_view, pool::Runtime>, 3> kRuntimes = {{
    {"command", pool::Runtime::kCommand},
    {"native", pool::Runtime::kNative},
    {"python", pool::Runtime::kPython},
}};
constexpr std::array<std::pair<std::string_view, LogLevel>, 4> kLogLevels = {{
    {"debug", LogLevel::kDebug},
    {"info", LogLevel::kInfo},
    {"warning", LogLevel::kWarning},
    {"error", LogLevel::kError},
}};

template <typename Table>
std::vector<std::string> Words(const Table& table) {
  std::vector<std::string> words;
  words.reserve(table.size());
  for (const auto& [word, value] : table) words.emplace_back(word);
  return words;
}

std::string WhatItIs(const RawValue& raw) {
  struct Namer {
    std::string operator()(const std::string& text) const { return Quote(text); }
    std::string operator()(int64_t number) const { return absl::StrCat(number); }
    std::string operator()(const RawValue::Unusable& other) const { return other.what; }
    std::string operator()(const std::vector<std::string>&) const { return "a list"; }
    std::string operator()(const std::map<std::string, std::string>&) const { return "a table"; }
  };
  return std::visit(Namer(), raw.data);
}

absl::Status WrongType(ValueType type, const RawValue& raw) {
  return absl::InvalidArgumentError(
      absl::StrCat("must be ", ToAbsl(Describe(type)), ", not ", WhatItIs(raw)));
}

// The text of `raw`, when it is one.
const std::string* AsText(const RawValue& raw) { return std::get_if<std::string>(&raw.data); }

std::string Readable(ValueType type, uint64_t value) {
  if (type == ValueType::kBytes) return text::BytesToText(value);
  if (type == ValueType::kDuration) {
    return text::DurationToText(absl::Nanoseconds(static_cast<int64_t>(value)));
  }
  if (type == ValueType::kFileMode) return absl::StrFormat("%04o", value);
  return absl::StrCat(value);
}

absl::Status CheckRange(const ValueRule& rule, uint64_t value) {
  if (value >= rule.min && value <= rule.max) return absl::OkStatus();
  if (rule.max == UINT64_MAX) {
    return absl::InvalidArgumentError(absl::StrCat(
        "must be at least ", Readable(rule.type, rule.min), ", not ", Readable(rule.type, value)));
  }
  return absl::InvalidArgumentError(absl::StrCat("must be from ", Readable(rule.type, rule.min),
                                                 " to ", Readable(rule.type, rule.max), ", not ",
                                                 Readable(rule.type, value)));
}

// A count, size or mode as a number, before its range is checked.
std::optional<uint64_t> ReadNumber(ValueType type, const RawValue& raw) {
  if (const auto* number = std::get_if<int64_t>(&raw.data)) {
    if (*number < 0) return std::nullopt;
    return static_cast<uint64_t>(*number);
  }
  const std::string* text = AsText(raw);
  if (text == nullptr) return std::nullopt;
  uint64_t value = 0;
  switch (type) {
    case ValueType::kCount:
      if (!raw.plain_text || !absl::SimpleAtoi(*text, &value)) return std::nullopt;
      return value;
    case ValueType::kFileMode: {
      const char* const end = text->data() + text->size();
      const auto [stop, error] = std::from_chars(text->data(), end, value, 8);
      if (error != std::errc() || stop != end) return std::nullopt;
      return value;
    }
    default:
      break;
  }
  const absl::StatusOr<uint64_t> bytes = text::ParseBytes(*text);
  if (!bytes.ok()) return std::nullopt;
  return *bytes;
}

absl::Status AssignNumber(const ValueRule& rule, const RawValue& raw, const Slot& slot) {
  const std::optional<uint64_t> number = ReadNumber(rule.type, raw);
  if (!number) return WrongType(rule.type, raw);
  if (absl::Status in_range = CheckRange(rule, *number); !in_range.ok()) return in_range;
  if (auto* const* wide = std::get_if<uint64_t*>(&slot)) {
    **wide = *number;
  } else {
    *std::get<uint32_t*>(slot) = static_cast<uint32_t>(*number);
  }
  return absl::OkStatus();
}

absl::Status AssignDuration(const ValueRule& rule, const RawValue& raw, const Slot& slot) {
  const std::string* text = AsText(raw);
  if (text == nullptr) return WrongType(rule.type, raw);
  const absl::StatusOr<absl::Duration> duration = text::ParseDuration(*text);
  if (!duration.ok()) return WrongType(rule.type, raw);
  if (*duration == absl::InfiniteDuration()) {
    if (rule.max != UINT64_MAX) {
      return absl::InvalidArgumentError(
          absl::StrCat("must end: at most ", Readable(rule.type, rule.max)));
    }
  } else if (absl::Status in_range =
                 CheckRange(rule, static_cast<uint64_t>(absl::ToInt64Nanoseconds(*duration)));
             !in_range.ok()) {
    return in_range;
  }
  *std::get<absl::Duration*>(slot) = *duration;
  return absl::OkStatus();
}

absl::Status CheckText(ValueType type, const std::string& text) {
  if (absl::StrContains(text, '\0') || !text::IsValidUtf8(text)) {
    return absl::InvalidArgumentError("must be UTF-8 text without NUL bytes");
  }
  const bool is_path = type == ValueType::kPath || type == ValueType::kPathList;
  if (is_path && !text.empty() && text[0] != '/') {
    return absl::InvalidArgumentError(absl::StrCat("must be an absolute path, not ", Quote(text)));
  }
  return absl::OkStatus();
}

absl::Status AssignText(const ValueRule& rule, const RawValue& raw, const Slot& slot) {
  const std::string* text = AsText(raw);
  if (text == nullptr) return WrongType(rule.type, raw);
  if (absl::Status valid = CheckText(rule.type, *text); !valid.ok()) return valid;
  *std::get<std::string*>(slot) = *text;
  return absl::OkStatus();
}

absl::Status AssignList(const ValueRule& rule, const RawValue& raw, const Slot& slot) {
  std::vector<std::string> list;
  if (const auto* items = std::get_if<std::vector<std::string>>(&raw.data)) {
    list = *items;
  } else if (const std::string* text = AsText(raw); text != nullptr && raw.plain_text) {
    for (const absl::string_view item : absl::StrSplit(*text, ',', absl::SkipWhitespace())) {
      list.emplace_back(absl::StripAsciiWhitespace(item));
    }
  } else {
    return WrongType(rule.type, raw);
  }
  for (const std::string& item : list) {
    if (absl::Status valid = CheckText(rule.type, item); !valid.ok()) return valid;
  }
  *std::get<std::vector<std::string>*>(slot) = std::move(list);
  return absl::OkStatus();
}

absl::Status AssignMap(const ValueRule& rule, const RawValue& raw, const Slot& slot) {
  std::map<std::string, std::string> map;
  if (const auto* entries = std::get_if<std::map<std::string, std::string>>(&raw.data)) {
    map = *entries;
  } else if (const std::string* text = AsText(raw); text != nullptr && raw.plain_text) {
    for (const absl::string_view item : absl::StrSplit(*text, ',', absl::SkipWhitespace())) {
      const std::pair<std::string, std::string> entry =
          absl::StrSplit(item, absl::MaxSplits('=', 1));
      if (!absl::StrContains(item, '=')) return WrongType(rule.type, raw);
      map[std::string(absl::StripAsciiWhitespace(entry.first))] = entry.second;
    }
  } else {
    return WrongType(rule.type, raw);
  }
  for (const auto& [name, value] : map) {
    if (name.empty() || absl::StrContains(name, '=')) {
      return absl::InvalidArgumentError(
          absl::StrCat("has the name ", Quote(name), ", which no environment variable can have"));
    }
    for (const std::string* each : {&name, &value}) {
      if (absl::Status valid = CheckText(rule.type, *each); !valid.ok()) return valid;
    }
  }
  *std::get<std::map<std::string, std::string>*>(slot) = std::move(map);
  return absl::OkStatus();
}

template <typename Table, typename Enum>
absl::Status AssignChoice(const ValueRule& rule, const RawValue& raw, const Table& table,
                          Enum* slot) {
  const std::string* text = AsText(raw);
  if (text == nullptr) return WrongType(rule.type, raw);
  for (const auto& [word, value] : table) {
    if (word != *text) continue;
    *slot = value;
    return absl::OkStatus();
  }
  const std::string meant = text::Nearest(*text, Words(table));
  return absl::InvalidArgumentError(
      absl::StrCat("must be one of ", absl::StrJoin(Words(table), ", "), ", not ", Quote(*text),
                   meant.empty() ? "" : absl::StrCat("; did you mean ", Quote(meant), "?")));
}

template <typename Table, typename Enum>
std::string ChoiceToToml(const Table& table, Enum value) {
  for (const auto& [word, each] : table) {
    if (each == value) return Quote(word);
  }
  return Quote("");
}

}  // namespace

absl::Status Assign(const ValueRule& rule, const RawValue& raw, const Slot& slot) {
  switch (rule.type) {
    case ValueType::kText:
    case ValueType::kPath:
      return AssignText(rule, raw, slot);
    case ValueType::kCount:
    case ValueType::kBytes:
    case ValueType::kFileMode:
      return AssignNumber(rule, raw, slot);
    case ValueType::kDuration:
      return AssignDuration(rule, raw, slot);
    case ValueType::kTextList:
    case ValueType::kPathList:
      return AssignList(rule, raw, slot);
    case ValueType::kTextMap:
      return AssignMap(rule, raw, slot);
    case ValueType::kRuntime:
      return AssignChoice(rule, raw, kRuntimes, std::get<pool::Runtime*>(slot));
    case ValueType::kLogLevel:
      return AssignChoice(rule, raw, kLogLevels, std::get<LogLevel*>(slot));
  }
  return absl::InternalError("unknown type");
}

std::string ToToml(ValueType type, const Slot& slot) {
  struct Writer {
    ValueType type;
    std::string Number(uint64_t number) const {
      if (type == ValueType::kCount) return absl::StrCat(number);
      return Quote(Readable(type, number));
    }
    std::string operator()(const std::string* text) const { return Quote(*text); }
    std::string operator()(const uint32_t* number) const { return Number(*number); }
    std::string operator()(const uint64_t* number) const { return Number(*number); }
    std::string operator()(const absl::Duration* duration) const {
      return Quote(text::DurationToText(*duration));
    }
    std::string operator()(const std::vector<std::string>* list) const {
      return absl::StrCat("[",
                          absl::StrJoin(*list, ", ",
                                        [](std::string* out, const auto& item) {
                                          absl::StrAppend(out, Quote(item));
                                        }),
                          "]");
    }
    std::string operator()(const std::map<std::string, std::string>* map) const {
      if (map->empty()) return "{}";
      return absl::StrCat("{ ",
                          absl::StrJoin(*map, ", ",
                                        [](std::string* out, const auto& entry) {
                                          absl::StrAppend(out, Quote(entry.first), " = ",
                                                          Quote(entry.second));
                                        }),
                          " }");
    }
    std::string operator()(const pool::Runtime* runtime) const {
      return ChoiceToToml(kRuntimes, *runtime);
    }
    std::string operator()(const LogLevel* level) const { return ChoiceToToml(kLogLevels, *level); }
  };
  return std::visit(Writer{type}, slot);
}

std::string Quote(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      absl::StrAppendFormat(&quoted, "\\u%04x", static_cast<unsigned>(c));
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

std::string_view Describe(ValueType type) {
  switch (type) {
    case ValueType::kText:
      return "a string";
    case ValueType::kPath:
      return "an absolute path";
    case ValueType::kCount:
      return "a whole number";
    case ValueType::kBytes:
      return "a size such as \"512M\" or \"2GiB\"";
    case ValueType::kDuration:
      return "a duration such as \"30s\", \"1h30m\" or \"infinity\"";
    case ValueType::kFileMode:
      return "an octal file mode such as \"0660\"";
    case ValueType::kTextList:
      return "a list of strings";
    case ValueType::kPathList:
      return "a list of absolute paths";
    case ValueType::kTextMap:
      return "a table of strings such as { NAME = \"value\" }";
    case ValueType::kRuntime:
    case ValueType::kLogLevel:
      return "one of the listed words";
  }
  return "";
}

std::vector<std::string> Choices(ValueType type) {
  if (type == ValueType::kRuntime) return Words(kRuntimes);
  if (type == ValueType::kLogLevel) return Words(kLogLevels);
  return {};
}

}  // namespace prefork::config
