#include "server/rpc/field_violations.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "common/text/utf8.h"
#include "google/rpc/error_details.pb.h"
#include "server/engine/errors.h"
#include "server/rpc/status_mapping.h"

namespace prefork::rpc {
namespace {

// What a client can read at once, and what fits a trailer.
constexpr size_t kMaxKept = 16;
constexpr size_t kMaxTextBytes = 160;

}  // namespace

void FieldViolations::Add(absl::string_view field, absl::string_view description) {
  ++count_;
  if (kept_.size() == kMaxKept) return;
  kept_.emplace_back(text::CleanUtf8(std::string(field), kMaxTextBytes),
                     text::CleanUtf8(std::string(description), kMaxTextBytes));
}

absl::Status FieldViolations::ToStatus() const {
  if (ok()) return absl::OkStatus();
  std::string message = absl::StrCat(kept_.front().first, ": ", kept_.front().second);
  if (count_ > 1) absl::StrAppend(&message, " (and ", count_ - 1, " more)");

  google::rpc::BadRequest bad_request;
  for (const auto& [field, description] : kept_) {
    google::rpc::BadRequest::FieldViolation* violation = bad_request.add_field_violations();
    violation->set_field(field);
    violation->set_description(description);
  }
  absl::Status status =
      engine::MakeError(absl::StatusCode::kInvalidArgument, reason::kInvalidField, message);
  status.SetPayload("type.googleapis.com/google.rpc.BadRequest",
                    absl::Cord(bad_request.SerializeAsString()));
  return status;
}

absl::Status Violation(absl::string_view field, absl::string_view description) {
  FieldViolations violations;
  violations.Add(field, description);
  return violations.ToStatus();
}

}  // namespace prefork::rpc
