#ifndef PREFORK_COMMON_WIRE_PACKET_FORMAT_H_
#define PREFORK_COMMON_WIRE_PACKET_FORMAT_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/os/check.h"

// How a message lies in its packet, on every SEQPACKET socket of the daemon. A protocol is a table of
// PacketTypes and a trivially copyable struct for each body; what the numbers mean is its own affair.
namespace prefork::wire {

struct MessageHeader {
  uint32_t type;
  uint32_t text_bytes;
};

// One row of a protocol's table: what a packet of this type consists of.
struct PacketType {
  // `type` is an enumerator of the protocol.
  template <typename Type>
  constexpr PacketType(Type type, const char* name, size_t body_bytes, bool has_text,
                       size_t descriptors)
      : type(static_cast<uint32_t>(type)),
        name(name),
        body_bytes(body_bytes),
        has_text(has_text),
        descriptors(descriptors) {}

  uint32_t type;
  const char* name;  // as it stands in logs and refusals
  size_t body_bytes;
  bool has_text;
  size_t descriptors;  // exactly so many come along
};

// A packet whose shape is right.
struct SplitMessage {
  const PacketType* type;  // of the table
  std::string_view body;   // points into the packet, type->body_bytes long
  std::string text;        // valid UTF-8
};

// The bytes of a body, and the body in such bytes.
template <typename Body>
std::string Bytes(const Body& body) {
  static_assert(
      std::is_trivially_copyable_v<Body> && std::has_unique_object_representations_v<Body>,
      "no padding: its bytes would leak memory");
  return std::string(reinterpret_cast<const char*>(&body), sizeof(body));
}

// REQUIRES: `bytes` is as long as the body.
template <typename Body>
Body Parse(std::string_view bytes) {
  Body body;
  PREFORK_CHECK(bytes.size() == sizeof(body));
  std::memcpy(&body, bytes.data(), sizeof(body));
  return body;
}

// The row of that type; null when the table has none.
const PacketType* FindType(absl::Span<const PacketType> types, uint32_t type);

// For logs: the name of that type, or "type 77".
std::string TypeName(absl::Span<const PacketType> types, uint32_t type);

// `text` made valid UTF-8, and cut so that a packet with a body of `body_bytes` has at most
// `max_bytes`.
std::string FittingText(std::string_view text, size_t body_bytes, size_t max_bytes);

// One packet. REQUIRES: body and text are such as the type has.
std::string EncodePacket(const PacketType& type, std::string_view body, std::string_view text);

// Takes apart a packet that came with `descriptor_count` descriptors and may have `max_bytes`.
// INVALID_ARGUMENT names the message type and what is wrong: unknown type, wrong length, wrong number
// of descriptors. Malformed UTF-8 in text is replaced, not refused.
absl::StatusOr<SplitMessage> SplitPacket(absl::Span<const PacketType> types,
                                         std::string_view packet, size_t descriptor_count,
                                         size_t max_bytes);

}  // namespace prefork::wire

#endif  // PREFORK_COMMON_WIRE_PACKET_FORMAT_H_
