#ifndef PREFORK_SERVER_RPC_STATUS_MAPPING_H_
#define PREFORK_SERVER_RPC_STATUS_MAPPING_H_

#include "absl/status/status.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/support/status.h"

namespace prefork::rpc {

// Reasons of errors that are found here, beside those of engine/errors.h.
namespace reason {
inline constexpr char kInvalidField[] = "INVALID_FIELD";
inline constexpr char kMalformedRequest[] = "MALFORMED_REQUEST";
inline constexpr char kTaskHasNoValue[] = "TASK_HAS_NO_VALUE";
inline constexpr char kOffsetPastEnd[] = "OFFSET_PAST_END";
}  // namespace reason

// The status as clients see it: code, message (valid UTF-8, bounded) and details: always an ErrorInfo
// with domain "prefork"; by code also QuotaFailure, RetryInfo, PreconditionFailure or ResourceInfo;
// and each payload of `status` that is itself a google.rpc message. REQUIRES: !status.ok().
google::rpc::Status ToRpcStatus(const absl::Status& status);

// The same as a trailer of a call, with the details in grpc-status-details-bin. OK stays OK.
grpc::Status ToGrpcStatus(const absl::Status& status);

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_STATUS_MAPPING_H_
