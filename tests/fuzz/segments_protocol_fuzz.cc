// Feeds packets to the decoder of the segment socket's messages.
#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "common/os/check.h"
#include "common/segments/message.h"
#include "tests/fuzz/protocol_fuzz.h"
#include "tests/fuzz/seeds.h"

namespace prefork::segments {
namespace {

void CheckSane(const Message& message) {
  if (const auto* denied = std::get_if<Denied>(&message)) PREFORK_CHECK(!denied->why.ok());
  if (const auto* grant = std::get_if<Grant>(&message)) {
    PREFORK_CHECK(grant->offset + grant->size_bytes > grant->offset);
  }
}

constexpr fuzz::Protocol<Message> kProtocol = {Decode, Encode, DescriptorCount, kMaxMessageBytes,
                                               CheckSane};

}  // namespace
}  // namespace prefork::segments

namespace prefork::fuzz {

std::vector<std::string> Seeds() {
  using namespace prefork::segments;  // NOLINT(google-build-using-namespace): the messages' names
  return InputsOf(kProtocol, {Hello{}, Allocate{1, 1 << 20}, OpenValue{2, 4711}, Release{5},
                              Welcome{Token{'t'}}, Grant{1, 5, 64, 1 << 20},
                              Denied{1, absl::ResourceExhaustedError("no room")}});
}

}  // namespace prefork::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  prefork::fuzz::DecodeInput(prefork::segments::kProtocol, data, size);
  return 0;
}
