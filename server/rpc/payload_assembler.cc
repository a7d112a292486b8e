#include "server/rpc/payload_assembler.h"

#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/engine/errors.h"
#include "server/rpc/field_violations.h"

namespace prefork::rpc {
namespace {

constexpr size_t kMaxChunkBytes = size_t{3} << 20;  // as task_service.proto says

absl::Status SizeMismatch(uint64_t declared_bytes, absl::string_view came) {
  FieldViolations violations;
  violations.Add("payload_bytes",
                 absl::StrCat(declared_bytes, " bytes of payload were declared, ", came, " came"));
  return violations.ToStatus();
}

}  // namespace

absl::Status PayloadAssembler::Append(std::string_view chunk) {
  if (chunk.size() > kMaxChunkBytes) {
    FieldViolations violations;
    violations.Add("chunk", absl::StrCat(chunk.size(), " bytes are more than ", kMaxChunkBytes,
                                         ", the most for one chunk; send several"));
    return violations.ToStatus();
  }
  if (chunk.size() > declared_bytes_ - received_bytes_) {
    return SizeMismatch(declared_bytes_, "more");
  }
  if (chunk.empty()) return absl::OkStatus();
  if (declared_bytes_ > inline_threshold_bytes_ && segment_ == nullptr) {
    absl::StatusOr<shm::SegmentRef> segment = segments_->Lease(declared_bytes_, owner_uid_);
    if (!segment.ok()) {
      return engine::MakeError(segment.status().code(), engine::reason::kSegmentsFull,
                               std::string(segment.status().message()));
    }
    segment_ = *std::move(segment);
  }
  if (segment_ != nullptr) {
    std::memcpy(segment_->bytes().data() + received_bytes_, chunk.data(), chunk.size());
  } else {
    inline_.append(chunk);
  }
  received_bytes_ += chunk.size();
  return absl::OkStatus();
}

absl::StatusOr<engine::Bytes> PayloadAssembler::Finish() {
  if (received_bytes_ != declared_bytes_) {
    return SizeMismatch(declared_bytes_, absl::StrCat("only ", received_bytes_));
  }
  if (segment_ != nullptr) return engine::Bytes(std::move(segment_), received_bytes_);
  return engine::Bytes(std::move(inline_));
}

}  // namespace prefork::rpc
