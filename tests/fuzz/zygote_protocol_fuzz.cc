// Feeds packets to the decoder of the zygote protocol.
#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "common/os/check.h"
#include "common/text/utf8.h"
#include "common/zygote/message.h"
#include "tests/fuzz/protocol_fuzz.h"
#include "tests/fuzz/seeds.h"

namespace prefork::zygote {
namespace {

void CheckSane(const Message& message) {
  if (const auto* failed = std::get_if<Failed>(&message))
    PREFORK_CHECK(text::IsValidUtf8(failed->reason));
}

constexpr fuzz::Protocol<Message> kProtocol = {Decode, Encode, DescriptorCount, kMaxMessageBytes,
                                               CheckSane};

}  // namespace
}  // namespace prefork::zygote

namespace prefork::fuzz {

std::vector<std::string> Seeds() {
  using namespace prefork::zygote;  // NOLINT(google-build-using-namespace): the messages' names
  const WorkerName worker = {3, 8};
  return InputsOf(
      kProtocol,
      {Ready{{kProtocolVersion, 100}, "sum\tadds numbers\n"}, Failed{"no module named numpy"},
       Forked{{worker, 101, 0}},
       ForkFailed{{worker, 11, 0}, "fork: Resource temporarily unavailable"},
       Exited{{worker, 101, 7 << 8, 1, 2, 3, 4, 5, 6, 7}}, Fork{{worker, 1, 0}}, Shutdown{},
       WorkerReady{{worker}}, SegmentRequest{1 << 20}, SegmentGrant{5, 1 << 20},
       SegmentDenied{1 << 20, "no room"}, SegmentRelease{5}, ValueSegment{6, 1 << 20}});
}

}  // namespace prefork::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  prefork::fuzz::DecodeInput(prefork::zygote::kProtocol, data, size);
  return 0;
}
