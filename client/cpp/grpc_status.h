#ifndef PREFORK_CLIENT_CPP_GRPC_STATUS_H_
#define PREFORK_CLIENT_CPP_GRPC_STATUS_H_

#include <grpcpp/support/status.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace prefork::client {

// The same code and words; "cannot reach the daemon at ADDRESS" before what gRPC says of transport.
inline absl::Status FromGrpc(const grpc::Status& status, const std::string& address) {
  if (status.ok()) return absl::OkStatus();
  const auto code = static_cast<absl::StatusCode>(status.error_code());
  // Only the daemon itself attaches details.
  if (code == absl::StatusCode::kUnavailable && status.error_details().empty()) {
    return absl::UnavailableError(absl::StrCat("cannot reach the prefork daemon at ", address, " (",
                                               status.error_message(), ")"));
  }
  return {code, status.error_message()};
}

}  // namespace prefork::client

#endif  // PREFORK_CLIENT_CPP_GRPC_STATUS_H_
