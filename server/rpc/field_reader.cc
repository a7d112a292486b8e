#include "server/rpc/field_reader.h"

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "server/rpc/time_mapping.h"

namespace prefork::rpc {

std::optional<absl::Duration> FieldReader::ReadDuration(absl::string_view field,
                                                        const google::protobuf::Duration& duration,
                                                        bool zero_allowed) {
  const absl::StatusOr<absl::Duration> read = FromProto(duration);
  if (!read.ok()) {
    Add(field, read.status().message());
    return std::nullopt;
  }
  if (*read < absl::ZeroDuration()) {
    Add(field, absl::StrCat(absl::FormatDuration(*read), " is negative"));
    return std::nullopt;
  }
  if (*read == absl::ZeroDuration() && !zero_allowed) {
    Add(field, "0 is not a time span to wait for; leave the field out for none");
    return std::nullopt;
  }
  return *read;
}

void FieldReader::CheckLength(absl::string_view field, absl::string_view text, size_t max_bytes) {
  if (text.size() > max_bytes) {
    Add(field, absl::StrCat(text.size(), " bytes are more than ", max_bytes));
  }
}

void FieldReader::CheckNoNul(absl::string_view field, absl::string_view text) {
  if (absl::StrContains(text, '\0')) Add(field, "contains a NUL byte");
}

void FieldReader::CheckEnvironment(absl::string_view field, absl::string_view name,
                                   absl::string_view value) {
  if (name.empty() || absl::StrContains(name, '=')) {
    Add(field, absl::StrCat("'", name,
                            "' can't name an environment variable: it is empty or has "
                            "an equals sign"));
  }
  CheckNoNul(field, name);
  CheckNoNul(absl::StrCat(field, "[", name, "]"), value);
}

}  // namespace prefork::rpc
