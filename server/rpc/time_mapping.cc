#include "server/rpc/time_mapping.h"

#include <algorithm>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace prefork::rpc {
namespace {

// The bounds that duration.proto and timestamp.proto give: 10,000 years; years 1 to 9999.
constexpr int64_t kMaxDurationSeconds = 315'576'000'000;
constexpr int64_t kMinTimestampSeconds = -62'135'596'800;
constexpr int64_t kMaxTimestampSeconds = 253'402'300'799;
constexpr int32_t kMaxNanos = 999'999'999;

}  // namespace

void ToProto(absl::Duration duration, google::protobuf::Duration* out) {
  duration =
      std::clamp(duration, absl::Seconds(-kMaxDurationSeconds), absl::Seconds(kMaxDurationSeconds));
  const int64_t seconds = absl::IDivDuration(duration, absl::Seconds(1), &duration);
  out->set_seconds(seconds);
  out->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(duration)));
}

void ToProto(absl::Time time, google::protobuf::Timestamp* out) {
  time = std::clamp(time, absl::FromUnixSeconds(kMinTimestampSeconds),
                    absl::FromUnixSeconds(kMaxTimestampSeconds));
  const int64_t seconds = absl::ToUnixSeconds(time);  // rounds towards the past, so nanos >= 0
  out->set_seconds(seconds);
  out->set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
}

absl::StatusOr<absl::Duration> FromProto(const google::protobuf::Duration& duration) {
  const bool mixed_signs = (duration.seconds() > 0 && duration.nanos() < 0) ||
                           (duration.seconds() < 0 && duration.nanos() > 0);
  if (mixed_signs || duration.nanos() > kMaxNanos || duration.nanos() < -kMaxNanos ||
      duration.seconds() > kMaxDurationSeconds || duration.seconds() < -kMaxDurationSeconds) {
    return absl::InvalidArgumentError(absl::StrCat("{seconds: ", duration.seconds(), ", nanos: ",
                                                   duration.nanos(), "} is not a valid duration"));
  }
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

absl::StatusOr<absl::Time> FromProto(const google::protobuf::Timestamp& time) {
  if (time.nanos() < 0 || time.nanos() > kMaxNanos || time.seconds() < kMinTimestampSeconds ||
      time.seconds() > kMaxTimestampSeconds) {
    return absl::InvalidArgumentError(absl::StrCat(
        "{seconds: ", time.seconds(), ", nanos: ", time.nanos(), "} is not a valid time"));
  }
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

}  // namespace prefork::rpc
