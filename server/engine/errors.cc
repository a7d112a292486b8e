#include "server/engine/errors.h"

#include "absl/strings/cord.h"

namespace prefork::engine {
namespace {

constexpr char kReasonUrl[] = "prefork.reason";
constexpr char kResourceUrl[] = "prefork.resource";

absl::Cord ToCord(std::string_view text) {
  return absl::Cord(absl::string_view(text.data(), text.size()));
}

std::string Payload(const absl::Status& status, const char* url) {
  const auto payload = status.GetPayload(url);
  return payload ? std::string(*payload) : std::string();
}

}  // namespace

absl::Status MakeError(absl::StatusCode code, std::string_view reason, const std::string& message,
                       std::string_view resource) {
  absl::Status status(code, message);
  status.SetPayload(kReasonUrl, ToCord(reason));
  if (!resource.empty()) status.SetPayload(kResourceUrl, ToCord(resource));
  return status;
}

std::string ReasonOf(const absl::Status& status) { return Payload(status, kReasonUrl); }
std::string ResourceOf(const absl::Status& status) { return Payload(status, kResourceUrl); }

}  // namespace prefork::engine
