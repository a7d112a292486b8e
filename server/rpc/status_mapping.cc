// How an error travels.
//
//   engine:  absl::Status with reason and resource (engine/errors.h)
//   rpc:     absl::Status INVALID_ARGUMENT with a serialised google.rpc.BadRequest as payload
//     v
//   google.rpc.Status { code, message, details[]: ErrorInfo, then what the code calls for }
//     v
//   unary and stream calls: grpc::Status with it in grpc-status-details-bin
//   sessions:               TaskRejected.status
//
// Trailers share HTTP/2's header budget (8 KiB by default at the client), and a client that gets more
// sees only "metadata too large". So texts are cut and details that do not fit are left out, the
// ErrorInfo never.
#include "server/rpc/status_mapping.h"

#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/time/time.h"
#include "common/text/utf8.h"
#include "google/rpc/error_details.pb.h"
#include "server/engine/errors.h"

namespace prefork::rpc {
namespace {

constexpr char kDomain[] = "prefork";
constexpr char kRpcTypePrefix[] = "type.googleapis.com/google.rpc.";
constexpr size_t kMaxMessageBytes = 1024;
constexpr size_t kMaxDetailsBytes = 4096;
constexpr size_t kMaxResourceBytes = 255;
// Advice for clients that have no idea of their own: a full queue moves within a fraction of a second,
// a restart takes longer.
constexpr absl::Duration kRetryWhenFull = absl::Milliseconds(100);
constexpr absl::Duration kRetryWhenUnavailable = absl::Seconds(1);

// Adds the detail if the budget allows.
void AddDetail(google::rpc::Status* out, const google::protobuf::Message& detail) {
  google::protobuf::Any any;
  any.PackFrom(detail);
  if (out->ByteSizeLong() + any.ByteSizeLong() <= kMaxDetailsBytes) {
    *out->add_details() = std::move(any);
  }
}

google::rpc::RetryInfo RetryAfter(absl::Duration delay) {
  google::rpc::RetryInfo info;
  info.mutable_retry_delay()->set_seconds(absl::ToInt64Seconds(delay));
  info.mutable_retry_delay()->set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(delay % absl::Seconds(1))));
  return info;
}

void AddDetailsOfCode(const absl::Status& status, const std::string& reason,
                      const std::string& resource, google::rpc::Status* out) {
  switch (status.code()) {
    case absl::StatusCode::kResourceExhausted: {
      google::rpc::QuotaFailure failure;
      google::rpc::QuotaFailure::Violation* violation = failure.add_violations();
      violation->set_subject(resource.empty() ? "daemon" : resource);
      violation->set_description(out->message());
      AddDetail(out, RetryAfter(kRetryWhenFull));
      AddDetail(out, failure);
      return;
    }
    case absl::StatusCode::kUnavailable:
      AddDetail(out, RetryAfter(kRetryWhenUnavailable));
      return;
    case absl::StatusCode::kFailedPrecondition: {
      google::rpc::PreconditionFailure failure;
      google::rpc::PreconditionFailure::Violation* violation = failure.add_violations();
      violation->set_type(reason);
      violation->set_subject(resource);
      violation->set_description(out->message());
      AddDetail(out, failure);
      return;
    }
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists: {
      if (resource.empty()) return;
      google::rpc::ResourceInfo info;
      // "TASK_NOT_FOUND" is about a task.
      info.set_resource_type(absl::AsciiStrToLower(reason.substr(0, reason.find('_'))));
      info.set_resource_name(resource);
      info.set_description(out->message());
      AddDetail(out, info);
      return;
    }
    default:
      return;
  }
}

}  // namespace

google::rpc::Status ToRpcStatus(const absl::Status& status) {
  google::rpc::Status out;
  out.set_code(static_cast<int32_t>(status.code()));
  out.set_message(text::CleanUtf8(std::string(status.message()), kMaxMessageBytes));

  std::string reason = engine::ReasonOf(status);
  const std::string resource = text::CleanUtf8(engine::ResourceOf(status), kMaxResourceBytes);
  if (reason.empty()) reason = absl::StatusCodeToString(status.code());

  google::rpc::ErrorInfo info;
  info.set_domain(kDomain);
  info.set_reason(reason);
  if (!resource.empty()) (*info.mutable_metadata())["resource"] = resource;
  AddDetail(&out, info);
  AddDetailsOfCode(status, reason, resource, &out);
  status.ForEachPayload([&out](absl::string_view url, const absl::Cord& payload) {
    if (!absl::StartsWith(url, kRpcTypePrefix)) return;
    google::protobuf::Any any;
    any.set_type_url(std::string(url));
    any.set_value(std::string(payload));
    if (out.ByteSizeLong() + any.ByteSizeLong() <= kMaxDetailsBytes) {
      *out.add_details() = std::move(any);
    }
  });
  return out;
}

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const google::rpc::Status rpc_status = ToRpcStatus(status);
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), rpc_status.message(),
                      rpc_status.SerializeAsString());
}

}  // namespace prefork::rpc
