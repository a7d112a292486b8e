#ifndef PREFORK_SERVER_RPC_FIELD_VIOLATIONS_H_
#define PREFORK_SERVER_RPC_FIELD_VIOLATIONS_H_

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace prefork::rpc {

// Collects what is wrong with a request's fields, so that a client hears of all of it at once.
class FieldViolations {
 public:
  // `field` is a path as in google.rpc.BadRequest: "items[3].spec.priority".
  void Add(absl::string_view field, absl::string_view description);

  bool ok() const { return count_ == 0; }
  // INVALID_ARGUMENT "FIELD: DESCRIPTION (and N more)" with a google.rpc.BadRequest as payload that
  // lists the first few; OK when there are none.
  absl::Status ToStatus() const;

 private:
  size_t count_ = 0;
  std::vector<std::pair<std::string, std::string>> kept_;
};

// What ToStatus says of this one field.
absl::Status Violation(absl::string_view field, absl::string_view description);

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_FIELD_VIOLATIONS_H_
