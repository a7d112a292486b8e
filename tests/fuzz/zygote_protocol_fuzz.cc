// Feeds packets to the decoder of the zygote protocol. The first byte is the number of descriptors
// that came along. What is accepted must be sane, and must come out of the encoder in a form that
// is accepted again and means the same.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/os/check.h"
#include "common/text/utf8.h"
#include "common/zygote/message.h"
#include "tests/fuzz/seeds.h"

namespace prefork::zygote {
namespace {

void DecodeOne(std::string_view packet, size_t descriptors) {
  const absl::StatusOr<Message> message = Decode(packet, descriptors);
  if (!message.ok()) {
    PREFORK_CHECK(absl::IsInvalidArgument(message.status()) && !message.status().message().empty());
    return;
  }
  PREFORK_CHECK(DescriptorCount(*message) == descriptors);
  if (const auto* failed = std::get_if<Failed>(&*message))
    PREFORK_CHECK(text::IsValidUtf8(failed->reason));
  const std::string encoded = Encode(*message);
  PREFORK_CHECK(encoded.size() <= kMaxMessageBytes);
  const absl::StatusOr<Message> again = Decode(encoded, descriptors);
  PREFORK_CHECK(again.ok() && again->index() == message->index() && Encode(*again) == encoded);
}

}  // namespace
}  // namespace prefork::zygote

namespace prefork::fuzz {

std::vector<std::string> Seeds() {
  using namespace prefork::zygote;  // NOLINT(google-build-using-namespace): the messages' names
  const WorkerName worker = {3, 8};
  std::vector<std::string> seeds;
  for (const Message& message : std::vector<Message>{
           Ready{{kProtocolVersion, 100}, "sum\tadds numbers\n"}, Failed{"no module named numpy"},
           Forked{{worker, 101, 0}},
           ForkFailed{{worker, 11, 0}, "fork: Resource temporarily unavailable"},
           Exited{{worker, 101, 7 << 8, 1, 2, 3, 4, 5, 6, 7}}, Fork{{worker, 1, 0}}, Shutdown{},
           WorkerReady{{worker}}, SegmentRequest{1 << 20}, SegmentGrant{5, 1 << 20},
           SegmentDenied{1 << 20, "no room"}, SegmentRelease{5}, ValueSegment{6, 1 << 20}}) {
    seeds.push_back(static_cast<char>(DescriptorCount(message)) + Encode(message));
  }
  return seeds;
}

}  // namespace prefork::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  prefork::zygote::DecodeOne({reinterpret_cast<const char*>(data) + 1, size - 1}, data[0]);
  return 0;
}
