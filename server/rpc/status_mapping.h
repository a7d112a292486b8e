#ifndef PREFORK_SERVER_RPC_STATUS_MAPPING_H_
#define PREFORK_SERVER_RPC_STATUS_MAPPING_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/support/status.h"

namespace prefork::rpc {

// Payloads that a Status of the engine may carry; each is plain text. They become google.rpc details.
inline constexpr char kReasonPayload[] = "prefork.reason";      // stable, e.g. "POOL_QUEUE_FULL"
inline constexpr char kResourcePayload[] = "prefork.resource";  // "task/17", "pool/default"

// `status` with a stable reason and, if not empty, the resource it is about.
absl::Status WithReason(absl::Status status, absl::string_view reason,
                        absl::string_view resource = "");

// The status as clients see it: code, message (valid UTF-8, bounded) and details: always an ErrorInfo
// with domain "prefork"; by code also QuotaFailure, RetryInfo, PreconditionFailure or ResourceInfo;
// and each payload of `status` that is itself a google.rpc message. REQUIRES: !status.ok().
google::rpc::Status ToRpcStatus(const absl::Status& status);

// The same as a trailer of a call, with the details in grpc-status-details-bin. OK stays OK.
grpc::Status ToGrpcStatus(const absl::Status& status);

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_STATUS_MAPPING_H_
