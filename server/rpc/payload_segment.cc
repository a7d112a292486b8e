#include "server/rpc/payload_segment.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/engine/errors.h"
#include "server/rpc/field_violations.h"

namespace prefork::rpc {
absl::StatusOr<engine::Bytes> TakePayload(const v1::PayloadSegment& place,
                                          engine::SegmentLeases* leases, uint32_t uid,
                                          absl::string_view path) {
  if (leases == nullptr) {
    return Violation(absl::StrCat(path, "payload_segment"),
                     "is not served here: the daemon offers no segments; send the payload itself");
  }
  if (place.offset() % segments::kPayloadAlignment != 0) {
    return Violation(
        absl::StrCat(path, "payload_segment.offset"),
        absl::StrCat(place.offset(), " is no multiple of ", segments::kPayloadAlignment));
  }
  absl::StatusOr<shm::SegmentRef> segment = leases->Find(place.token(), uid, place.segment_id());
  if (!segment.ok()) return segment.status();
  if (place.give()) {
    segments::Token token;
    std::copy(place.token().begin(), place.token().end(), token.begin());
    leases->Release(token, place.segment_id()).IgnoreError();
  }
  const uint64_t capacity_bytes = (*segment)->capacity_bytes();
  if (place.offset() > capacity_bytes || place.size_bytes() > capacity_bytes - place.offset()) {
    return Violation(
        absl::StrCat(path, "payload_segment.size_bytes"),
        absl::StrCat(place.size_bytes(), " bytes from ", place.offset(),
                     " on are more than segment ", place.segment_id(), " has: ", capacity_bytes));
  }
  using Owner = engine::Bytes::Owner;
  return engine::Bytes(*std::move(segment), place.size_bytes(), place.offset(),
                       place.give() ? Owner::kTask : Owner::kClient);
}

}  // namespace prefork::rpc
