#ifndef PREFORK_TESTS_FUZZ_PROTOCOL_FUZZ_H_
#define PREFORK_TESTS_FUZZ_PROTOCOL_FUZZ_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/os/check.h"

// What the targets for the packets of a socket share. The first byte of an input is the number of
// descriptors that came along, the rest is the packet.
namespace prefork::fuzz {

// A protocol whose messages are values, by the functions of its message.h.
template <typename Message>
struct Protocol {
  absl::StatusOr<Message> (*decode)(std::string_view packet, size_t descriptors);
  std::string (*encode)(const Message& message);
  size_t (*descriptor_count)(const Message& message);
  size_t max_message_bytes;
  // Aborts when an accepted message is one that the rest of the daemon must never see.
  void (*check)(const Message& message);
};

// Feeds one input to the decoder. What is accepted must be sane, and must come out of the encoder
// in a form that is accepted again and means the same.
template <typename Message>
void DecodeInput(const Protocol<Message>& protocol, const uint8_t* data, size_t size) {
  if (size == 0) return;
  const size_t descriptors = data[0];
  const std::string_view packet(reinterpret_cast<const char*>(data) + 1, size - 1);
  const absl::StatusOr<Message> message = protocol.decode(packet, descriptors);
  if (!message.ok()) {
    PREFORK_CHECK(absl::IsInvalidArgument(message.status()) && !message.status().message().empty());
    return;
  }
  PREFORK_CHECK(protocol.descriptor_count(*message) == descriptors);
  protocol.check(*message);
  const std::string encoded = protocol.encode(*message);
  PREFORK_CHECK(encoded.size() <= protocol.max_message_bytes);
  const absl::StatusOr<Message> again = protocol.decode(encoded, descriptors);
  PREFORK_CHECK(again.ok() && again->index() == message->index() &&
                protocol.encode(*again) == encoded);
}

// These messages as inputs.
template <typename Message>
std::vector<std::string> InputsOf(const Protocol<Message>& protocol,
                                  const std::vector<Message>& messages) {
  std::vector<std::string> inputs;
  inputs.reserve(messages.size());
  for (const Message& message : messages) {
    inputs.push_back(static_cast<char>(protocol.descriptor_count(message)) +
                     protocol.encode(message));
  }
  return inputs;
}

}  // namespace prefork::fuzz

#endif  // PREFORK_TESTS_FUZZ_PROTOCOL_FUZZ_H_
