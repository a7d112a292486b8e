#ifndef PREFORK_COMMON_SEGMENTS_MESSAGE_H_
#define PREFORK_COMMON_SEGMENTS_MESSAGE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/segments/protocol.h"

// The messages of protocol.h as values. Descriptors travel next to them.
namespace prefork::segments {

struct Hello {
  uint32_t protocol_version = kProtocolVersion;
};
struct Allocate {
  uint64_t request;
  uint64_t size_bytes;
};
struct OpenValue {
  uint64_t request;
  uint64_t task_id;
};
struct Release {
  uint64_t segment_id;
};
struct Welcome {
  Token token;
  uint32_t protocol_version = kProtocolVersion;
};
struct Grant {  // with its memfd
  uint64_t request;
  uint64_t segment_id;
  uint64_t offset;
  uint64_t size_bytes;
};
struct Denied {
  uint64_t request;
  absl::Status why;  // never OK
};

using Message = std::variant<Hello, Allocate, OpenValue, Release, Welcome, Grant, Denied>;

// "ALLOCATE", or "type 77".
std::string TypeName(uint32_t type);
MessageType TypeOf(const Message& message);
// How many descriptors go with the message.
size_t DescriptorCount(const Message& message);

// One packet. Text is made valid UTF-8 and cut so that the packet fits in kMaxMessageBytes.
std::string Encode(const Message& message);

// Reads one packet that came with `descriptor_count` descriptors. INVALID_ARGUMENT names the
// message type and what is wrong: unknown type, wrong length, wrong number of descriptors, absurd
// value. Malformed UTF-8 in text is replaced, not refused.
absl::StatusOr<Message> Decode(std::string_view packet, size_t descriptor_count);

}  // namespace prefork::segments

#endif  // PREFORK_COMMON_SEGMENTS_MESSAGE_H_
