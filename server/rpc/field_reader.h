#ifndef PREFORK_SERVER_RPC_FIELD_READER_H_
#define PREFORK_SERVER_RPC_FIELD_READER_H_

#include <cstddef>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "google/protobuf/duration.pb.h"
#include "server/rpc/field_violations.h"

namespace prefork::rpc {

// Checks the fields of one message of a request and notes what is wrong with them under its path.
class FieldReader {
 public:
  // `path` is empty or ends in a dot. `violations` is not owned.
  FieldReader(std::string path, FieldViolations* violations)
      : path_(std::move(path)), violations_(violations) {}

  void Add(absl::string_view field, absl::string_view description) {
    violations_->Add(absl::StrCat(path_, field), description);
  }
  FieldReader Nested(absl::string_view field) const {
    return FieldReader(absl::StrCat(path_, field, "."), violations_);
  }

  // A duration that may not be negative, and not zero either unless `zero_allowed`; nullopt with a
  // violation when it is.
  std::optional<absl::Duration> ReadDuration(absl::string_view field,
                                             const google::protobuf::Duration& duration,
                                             bool zero_allowed);
  // At most `max_bytes`.
  void CheckLength(absl::string_view field, absl::string_view text, size_t max_bytes);
  // Something that execve or the file system takes: no NUL byte.
  void CheckNoNul(absl::string_view field, absl::string_view text);
  // An environment variable's name and value.
  void CheckEnvironment(absl::string_view field, absl::string_view name, absl::string_view value);

 private:
  std::string path_;
  FieldViolations* violations_;
};

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_FIELD_READER_H_
