#ifndef PREFORK_COMMON_TEXT_UNITS_H_
#define PREFORK_COMMON_TEXT_UNITS_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

// Sizes and durations as people write them, in the configuration, on command lines and in output.
namespace prefork::text {

// "512M", "2GiB", "1.5G", "100kB", "4096". K, M, G, T (also Ki, KiB) are powers of 1024; KB, MB,
// GB, TB are powers of 1000; case does not matter. INVALID_ARGUMENT quotes what is wrong.
absl::StatusOr<uint64_t> ParseBytes(std::string_view text);

// "30s", "250ms", "1h30m", "1.5d"; units d, h, m, s, ms, us, ns. "0" needs no unit; "infinity"
// (also "inf", "never") is absl::InfiniteDuration. INVALID_ARGUMENT quotes what is wrong; negative
// durations are refused.
absl::StatusOr<absl::Duration> ParseDuration(std::string_view text);

// The shortest text that ParseBytes reads back as the same number: "512MiB", "1500".
std::string BytesToText(uint64_t bytes);

// The shortest text that ParseDuration reads back as the same duration: "1h30m", "infinity", "0s".
std::string DurationToText(absl::Duration duration);

}  // namespace prefork::text

#endif  // PREFORK_COMMON_TEXT_UNITS_H_
