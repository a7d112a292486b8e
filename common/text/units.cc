#include "common/text/units.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/text/views.h"

namespace prefork::text {
namespace {

struct ByteUnit {
  std::string_view name;  // lower case
  uint64_t factor;
};
constexpr uint64_t kKibi = 1024;
constexpr uint64_t kKilo = 1000;
constexpr std::array<ByteUnit, 18> kByteUnits = {{
    {"", 1},
    {"b", 1},
    {"k", kKibi},
    {"ki", kKibi},
    {"kib", kKibi},
    {"kb", kKilo},
    {"m", kKibi* kKibi},
    {"mi", kKibi* kKibi},
    {"mib", kKibi* kKibi},
    {"mb", kKilo* kKilo},
    {"g", kKibi* kKibi* kKibi},
    {"gi", kKibi* kKibi* kKibi},
    {"gib", kKibi* kKibi* kKibi},
    {"gb", kKilo* kKilo* kKilo},
    {"t", kKibi* kKibi* kKibi* kKibi},
    {"ti", kKibi* kKibi* kKibi* kKibi},
    {"tib", kKibi* kKibi* kKibi* kKibi},
    {"tb", kKilo* kKilo* kKilo* kKilo},
}};

struct TimeUnit {
  std::string_view name;
  int64_t ns;
};
// Largest first, for DurationToText.
constexpr std::array<TimeUnit, 7> kTimeUnits = {{
    {"d", int64_t{24} * 3600 * 1'000'000'000},
    {"h", int64_t{3600} * 1'000'000'000},
    {"m", int64_t{60} * 1'000'000'000},
    {"s", 1'000'000'000},
    {"ms", 1'000'000},
    {"us", 1'000},
    {"ns", 1},
}};

// Cuts the digits (and one point) off the front of `text`.
std::string_view TakeNumber(std::string_view& text) {
  const size_t end = std::min(text.find_first_not_of("0123456789."), text.size());
  const std::string_view number = text.substr(0, end);
  text.remove_prefix(end);
  return number;
}

// number * factor, when it is a number and fits. Whole numbers are exact.
std::optional<uint64_t> Scale(std::string_view number, uint64_t factor) {
  if (uint64_t whole; absl::SimpleAtoi(ToAbsl(number), &whole)) {
    uint64_t product;
    if (__builtin_mul_overflow(whole, factor, &product)) return std::nullopt;
    return product;
  }
  double real;
  if (number.empty() || !absl::SimpleAtod(ToAbsl(number), &real)) return std::nullopt;
  const double product = std::round(real * static_cast<double>(factor));
  constexpr double kTooLarge = 18446744073709551616.0;  // 2^64
  if (!(product >= 0 && product < kTooLarge)) return std::nullopt;
  return static_cast<uint64_t>(product);
}

absl::Status BadBytes(std::string_view text) {
  return absl::InvalidArgumentError(
      absl::StrCat("\"", ToAbsl(text), "\" is no size; write it like 4096, 512M or 2GiB"));
}

absl::Status BadDuration(std::string_view text) {
  return absl::InvalidArgumentError(absl::StrCat(
      "\"", ToAbsl(text), "\" is no duration; write it like 250ms, 30s, 1h30m or infinity"));
}

}  // namespace

absl::StatusOr<uint64_t> ParseBytes(std::string_view text) {
  std::string_view rest = ToStd(absl::StripAsciiWhitespace(ToAbsl(text)));
  const std::string_view number = TakeNumber(rest);
  const std::string unit = absl::AsciiStrToLower(absl::StripAsciiWhitespace(ToAbsl(rest)));
  for (const ByteUnit& known : kByteUnits) {
    if (known.name != unit) continue;
    const std::optional<uint64_t> bytes = Scale(number, known.factor);
    if (!bytes) break;
    return *bytes;
  }
  return BadBytes(text);
}

absl::StatusOr<absl::Duration> ParseDuration(std::string_view text) {
  std::string_view rest = ToStd(absl::StripAsciiWhitespace(ToAbsl(text)));
  if (rest == "infinity" || rest == "inf" || rest == "never") return absl::InfiniteDuration();
  if (rest == "0") return absl::ZeroDuration();
  if (rest.empty()) return BadDuration(text);
  uint64_t total_ns = 0;
  while (!rest.empty()) {
    const std::string_view number = TakeNumber(rest);
    const size_t end = std::min(rest.find_first_of("0123456789. "), rest.size());
    const std::string_view unit = rest.substr(0, end);
    rest = ToStd(absl::StripLeadingAsciiWhitespace(ToAbsl(rest.substr(end))));
    const auto known = std::find_if(kTimeUnits.begin(), kTimeUnits.end(),
                                    [&](const TimeUnit& each) { return each.name == unit; });
    if (known == kTimeUnits.end()) return BadDuration(text);
    const std::optional<uint64_t> part = Scale(number, known->ns);
    if (!part || __builtin_add_overflow(total_ns, *part, &total_ns)) return BadDuration(text);
  }
  if (total_ns > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return BadDuration(text);
  }
  return absl::Nanoseconds(static_cast<int64_t>(total_ns));
}

std::string BytesToText(uint64_t bytes) {
  constexpr std::array<std::string_view, 5> kSuffixes = {"", "KiB", "MiB", "GiB", "TiB"};
  size_t suffix = 0;
  while (bytes != 0 && bytes % kKibi == 0 && suffix + 1 < kSuffixes.size()) {
    bytes /= kKibi;
    ++suffix;
  }
  return absl::StrCat(bytes, ToAbsl(kSuffixes[suffix]));
}

std::string DurationToText(absl::Duration duration) {
  if (duration == absl::InfiniteDuration()) return "infinity";
  int64_t ns = absl::ToInt64Nanoseconds(duration);
  if (ns <= 0) return "0s";
  std::string text;
  for (const TimeUnit& unit : kTimeUnits) {
    if (ns < unit.ns) continue;
    absl::StrAppend(&text, ns / unit.ns, ToAbsl(unit.name));
    ns %= unit.ns;
  }
  return text;
}

}  // namespace prefork::text
