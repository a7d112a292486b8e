// Feeds packets to the decoder of the segment socket's messages. The first byte is the number of
// descriptors that came along. What is accepted must be sane, and must come out of the encoder in a
// form that is accepted again and means the same.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/os/check.h"
#include "common/segments/message.h"
#include "tests/fuzz/seeds.h"

namespace prefork::segments {
namespace {

void DecodeOne(std::string_view packet, size_t descriptors) {
  const absl::StatusOr<Message> message = Decode(packet, descriptors);
  if (!message.ok()) {
    PREFORK_CHECK(absl::IsInvalidArgument(message.status()) && !message.status().message().empty());
    return;
  }
  PREFORK_CHECK(DescriptorCount(*message) == descriptors);
  if (const auto* denied = std::get_if<Denied>(&*message)) PREFORK_CHECK(!denied->why.ok());
  if (const auto* grant = std::get_if<Grant>(&*message)) {
    PREFORK_CHECK(grant->offset + grant->size_bytes > grant->offset);
  }
  const std::string encoded = Encode(*message);
  PREFORK_CHECK(encoded.size() <= kMaxMessageBytes);
  const absl::StatusOr<Message> again = Decode(encoded, descriptors);
  PREFORK_CHECK(again.ok() && again->index() == message->index() && Encode(*again) == encoded);
}

}  // namespace
}  // namespace prefork::segments

namespace prefork::fuzz {

std::vector<std::string> Seeds() {
  using namespace prefork::segments;  // NOLINT(google-build-using-namespace): the messages' names
  std::vector<std::string> seeds;
  for (const Message& message : std::vector<Message>{
           Hello{}, Allocate{1, 1 << 20}, OpenValue{2, 4711}, Release{5}, Welcome{Token{'t'}},
           Grant{1, 5, 64, 1 << 20}, Denied{1, absl::ResourceExhaustedError("no room")}}) {
    seeds.push_back(static_cast<char>(DescriptorCount(message)) + Encode(message));
  }
  return seeds;
}

}  // namespace prefork::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  prefork::segments::DecodeOne({reinterpret_cast<const char*>(data) + 1, size - 1}, data[0]);
  return 0;
}
