#ifndef PREFORK_CLIENT_CPP_SEGMENT_PAYLOADS_H_
#define PREFORK_CLIENT_CPP_SEGMENT_PAYLOADS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cpp/segment_channel.h"
#include "prefork/segment.h"

namespace prefork::client::internal {

// Payloads from here on, and values above, go by segment when there are segments. Measured: there and
// back, the copies through gRPC cost as much here as two segments.
inline constexpr size_t kSegmentThresholdBytes = size_t{64} << 10;

// A payload on its way: bytes to be copied, or a place in a segment. Movable.
struct PlacedPayload {
  std::string_view bytes{};  // if there is no slice
  SegmentSlice slice{};
  bool give = false;  // the segment goes over to the task

  bool in_segment() const { return slice.segment != nullptr; }
  // May it be submitted (once more) to the daemon of `channel`? Not when that has not leased it, or no
  // longer, and not when it was given away, for the daemon may have it.
  bool StillOurs(const SegmentChannel* channel, bool was_sent) const;
};

// Finds the best way for a payload to the daemon behind `channel` (may be null): into a segment when
// it is large, through the stream when the segment is of another connection or can't be had. Waits
// for the daemon's answer. INVALID_ARGUMENT when the slice reaches beyond its segment.
absl::StatusOr<PlacedPayload> PlacePayload(const std::shared_ptr<SegmentChannel>& channel,
                                           std::string_view bytes, const SegmentSlice& slice);

// A v1::PayloadSegment in wire form.
std::string EncodePlace(const PlacedPayload& payload);

// Room for payloads; see Client::AllocateSegment. `channel` may be null.
absl::StatusOr<std::shared_ptr<Segment>> MakeSegment(const std::shared_ptr<SegmentChannel>& channel,
                                                     size_t size_bytes);
// Does the daemon of `channel` know the segment?
bool IsKnownTo(const SegmentChannel* channel, const Segment& segment);
// A value that the daemon has sent.
absl::StatusOr<std::shared_ptr<const MappedValue>> TakeMappedValue(
    const std::shared_ptr<SegmentChannel>& channel, uint64_t segment_id);

// The segments that tasks of a session have as payloads, by the tasks' tags: they are kept until the
// daemon has its own hold of them. Thread-compatible.
class SegmentPayloads {
 public:
  void Add(uint64_t tag, PlacedPayload&& payload) { by_tag_.emplace(tag, std::move(payload)); }
  // The daemon has the task: what was given to it is no longer ours.
  void Accepted(uint64_t tag);
  // The task has ended, or was never accepted.
  void Ended(uint64_t tag) {
    if (!by_tag_.empty()) by_tag_.erase(tag);
  }
  // Takes out what a task has as payload, to submit it again; none: no segment.
  PlacedPayload Take(uint64_t tag);

 private:
  absl::flat_hash_map<uint64_t, PlacedPayload> by_tag_;
};

}  // namespace prefork::client::internal

#endif  // PREFORK_CLIENT_CPP_SEGMENT_PAYLOADS_H_
