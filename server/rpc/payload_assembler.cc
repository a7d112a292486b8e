#include "server/rpc/payload_assembler.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/rpc/field_violations.h"

namespace prefork::rpc {
namespace {

absl::Status SizeMismatch(uint64_t declared_bytes, absl::string_view came) {
  FieldViolations violations;
  violations.Add("payload_bytes",
                 absl::StrCat(declared_bytes, " bytes of payload were declared, ", came, " came"));
  return violations.ToStatus();
}

}  // namespace

absl::StatusOr<PayloadAssembler> PayloadAssembler::Create(uint64_t declared_bytes,
                                                          size_t inline_threshold_bytes,
                                                          uint32_t owner_uid,
                                                          shm::SegmentPool* segments) {
  PayloadAssembler assembler(declared_bytes);
  if (declared_bytes > inline_threshold_bytes) {
    absl::StatusOr<shm::SegmentRef> segment = segments->Lease(declared_bytes, owner_uid);
    if (!segment.ok()) return segment.status();
    assembler.segment_ = *std::move(segment);
  } else {
    assembler.inline_.reserve(declared_bytes);
  }
  return assembler;
}

absl::Status PayloadAssembler::Append(std::string_view chunk) {
  if (chunk.size() > declared_bytes_ - received_bytes_) {
    return SizeMismatch(declared_bytes_, "more");
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
