#ifndef PREFORK_CLIENT_CPP_GRPC_STATUS_H_
#define PREFORK_CLIENT_CPP_GRPC_STATUS_H_

#include <grpcpp/support/status.h>

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "prefork/client.h"

namespace prefork::client {

// The same code and words, and the reason in the details.
inline absl::Status FromRpc(const google::rpc::Status& status) {
  absl::Status out(static_cast<absl::StatusCode>(status.code()), status.message());
  for (const google::protobuf::Any& detail : status.details()) {
    google::rpc::ErrorInfo info;
    if (detail.Is<google::rpc::ErrorInfo>() && detail.UnpackTo(&info)) {
      out.SetPayload(kReasonUrl, absl::Cord(info.reason()));
    }
  }
  return out;
}

// The same code, words and reason; "cannot reach the daemon at ADDRESS" before what gRPC says of transport.
inline absl::Status FromGrpc(const grpc::Status& status, const std::string& address) {
  if (status.ok()) return absl::OkStatus();
  const auto code = static_cast<absl::StatusCode>(status.error_code());
  // Only the daemon itself attaches details.
  if (code == absl::StatusCode::kUnavailable && status.error_details().empty()) {
    return absl::UnavailableError(absl::StrCat("cannot reach the prefork daemon at ", address, " (",
                                               status.error_message(), ")"));
  }
  absl::Status out(code, status.error_message());
  google::rpc::Status details;
  if (details.ParseFromString(status.error_details())) {
    if (auto reason = FromRpc(details).GetPayload(kReasonUrl)) {
      out.SetPayload(kReasonUrl, *std::move(reason));
    }
  }
  return out;
}

}  // namespace prefork::client

#endif  // PREFORK_CLIENT_CPP_GRPC_STATUS_H_
