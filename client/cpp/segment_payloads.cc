#include "client/cpp/segment_payloads.h"

#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "prefork/v1/task.pb.h"

namespace prefork::client::internal {
namespace {

// Fresh memory is cleared at some 0.3 GB/s on a small machine. Longer waits are for a daemon that
// hangs, and then there is another way for payloads.
constexpr absl::Duration kAllocateTimeout = absl::Seconds(10);
// For a value that is on its way already.
constexpr absl::Duration kValueTimeout = absl::Seconds(1);

// Memory that the daemon has leased to us.
class LeasedSegment final : public Segment {
 public:
  LeasedSegment(std::shared_ptr<SegmentChannel> channel, SegmentChannel::Leased leased,
                size_t size_bytes)
      : Segment(leased.map.bytes().first(size_bytes)),
        channel_(std::move(channel)),
        leased_(std::move(leased)) {}
  ~LeasedSegment() override {
    if (given_) {
      channel_->Forget(std::move(leased_));
    } else {
      channel_->Release(std::move(leased_));
    }
  }

  bool shared() const override { return true; }
  SegmentChannel& channel() const { return *channel_; }
  uint64_t id() const { return leased_.segment_id; }
  // The lease is a task's now.
  void SetGiven() { given_ = true; }

 private:
  const std::shared_ptr<SegmentChannel> channel_;
  SegmentChannel::Leased leased_;
  bool given_ = false;
};

struct Freed {
  void operator()(std::byte* memory) const { std::free(memory); }
};
using PrivateMemory = std::unique_ptr<std::byte[], Freed>;

class PrivateSegment final : public Segment {
 public:
  PrivateSegment(PrivateMemory memory, size_t size_bytes)
      : Segment({memory.get(), size_bytes}), memory_(std::move(memory)) {}
  bool shared() const override { return false; }

 private:
  const PrivateMemory memory_;
};

class LeasedValue final : public MappedValue {
 public:
  LeasedValue(std::shared_ptr<SegmentChannel> channel, SegmentChannel::Leased leased)
      : MappedValue(std::as_const(leased.map).bytes().subspan(leased.offset, leased.size_bytes)),
        channel_(std::move(channel)),
        leased_(std::move(leased)) {}
  ~LeasedValue() override { channel_->Release(std::move(leased_)); }

 private:
  const std::shared_ptr<SegmentChannel> channel_;
  SegmentChannel::Leased leased_;
};

LeasedSegment& LeasedOf(const SegmentSlice& slice) {
  return static_cast<LeasedSegment&>(*slice.segment);
}

}  // namespace

absl::StatusOr<std::shared_ptr<Segment>> MakeSegment(const std::shared_ptr<SegmentChannel>& channel,
                                                     size_t size_bytes) {
  if (size_bytes == 0) return absl::InvalidArgumentError("a segment of 0 bytes");
  if (channel != nullptr && channel->alive()) {
    absl::StatusOr<SegmentChannel::Leased> leased =
        channel->Allocate(size_bytes, absl::Now() + kAllocateTimeout);
    if (leased.ok()) {
      return std::make_shared<LeasedSegment>(channel, *std::move(leased), size_bytes);
    }
    if (channel->alive()) return leased.status();
  }
  const size_t page_bytes = 4096;
  const size_t rounded_bytes = (size_bytes + page_bytes - 1) / page_bytes * page_bytes;
  PrivateMemory memory(static_cast<std::byte*>(std::aligned_alloc(page_bytes, rounded_bytes)));
  if (memory == nullptr || rounded_bytes < size_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no memory for a segment of ", size_bytes, " bytes"));
  }
  return std::make_shared<PrivateSegment>(std::move(memory), size_bytes);
}

absl::StatusOr<std::shared_ptr<const MappedValue>> TakeMappedValue(
    const std::shared_ptr<SegmentChannel>& channel, uint64_t segment_id) {
  if (channel == nullptr) return absl::UnavailableError("there is no connection for segments");
  absl::StatusOr<SegmentChannel::Leased> leased =
      channel->TakeValue(segment_id, absl::Now() + kValueTimeout);
  if (!leased.ok()) return leased.status();
  return std::make_shared<const LeasedValue>(channel, *std::move(leased));
}

absl::StatusOr<PlacedPayload> PlacePayload(const std::shared_ptr<SegmentChannel>& channel,
                                           std::string_view bytes, const SegmentSlice& slice) {
  if (slice.segment == nullptr) {
    if (bytes.size() < kSegmentThresholdBytes || channel == nullptr) {
      return PlacedPayload{.bytes = bytes};
    }
    const absl::StatusOr<std::shared_ptr<Segment>> room = MakeSegment(channel, bytes.size());
    // Refused here, it may be taken in chunks: what is over the bounds of clients is not over all.
    if (!room.ok() || !(*room)->shared()) return PlacedPayload{.bytes = bytes};
    std::memcpy((*room)->bytes().data(), bytes.data(), bytes.size());
    return PlacedPayload{.slice = {*room, 0, bytes.size()}, .give = true};
  }
  if (!bytes.empty()) {
    return absl::InvalidArgumentError("a task has a `payload` or a `payload_segment`, not both");
  }
  if (slice.offset % segments::kPayloadAlignment != 0) {
    return absl::InvalidArgumentError(absl::StrCat("payload_segment.offset: ", slice.offset,
                                                   " is no multiple of ",
                                                   segments::kPayloadAlignment));
  }
  const size_t size = slice.segment->size();
  if (slice.offset > size || slice.size_bytes > size - slice.offset) {
    return absl::InvalidArgumentError(absl::StrCat("payload_segment: ", slice.size_bytes,
                                                   " bytes from ", slice.offset,
                                                   " on; the segment has ", size));
  }
  PlacedPayload placed{.slice = slice};
  if (placed.StillOurs(channel.get(), /*was_sent=*/false)) return placed;
  return PlacedPayload{.bytes = slice.view()};
}

bool PlacedPayload::StillOurs(const SegmentChannel* channel, bool was_sent) const {
  return in_segment() && IsKnownTo(channel, *slice.segment) && !(give && was_sent);
}

// Another connection to the same daemon will do: the token goes with the segment.
bool IsKnownTo(const SegmentChannel* channel, const Segment& segment) {
  if (channel == nullptr || !segment.shared()) return false;
  SegmentChannel& leased_by = static_cast<const LeasedSegment&>(segment).channel();
  return leased_by.address() == channel->address() && leased_by.alive();
}

std::string EncodePlace(const PlacedPayload& payload) {
  const LeasedSegment& segment = LeasedOf(payload.slice);
  v1::PayloadSegment place;
  place.set_token(std::string(segment.channel().token()));
  place.set_segment_id(segment.id());
  place.set_offset(payload.slice.offset);
  place.set_size_bytes(payload.slice.size_bytes);
  place.set_give(payload.give);
  return place.SerializeAsString();
}

void SegmentPayloads::Accepted(uint64_t tag) {
  if (by_tag_.empty()) return;
  const auto found = by_tag_.find(tag);
  if (found == by_tag_.end() || !found->second.give) return;
  LeasedOf(found->second.slice).SetGiven();
  by_tag_.erase(found);
}

PlacedPayload SegmentPayloads::Take(uint64_t tag) {
  const auto found = by_tag_.find(tag);
  if (found == by_tag_.end()) return {};
  PlacedPayload payload = std::move(found->second);
  by_tag_.erase(found);
  return payload;
}

}  // namespace prefork::client::internal
