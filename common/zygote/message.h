#ifndef PREFORK_COMMON_ZYGOTE_MESSAGE_H_
#define PREFORK_COMMON_ZYGOTE_MESSAGE_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/zygote/protocol.h"

// The messages of protocol.h as values. Descriptors travel next to them (see control_socket.h).
namespace prefork::zygote {

struct Ready {
  ReadyBody body;
  std::string functions;  // one a line: name, TAB, description
};
struct Failed {
  std::string reason;
};
struct Forked {  // with the pidfd
  ForkedBody body;
};
struct ForkFailed {
  ForkFailedBody body;
  std::string reason;
};
struct Exited {
  ExitedBody body;
};
struct Fork {  // with the descriptors of ForkDescriptor, in its order
  ForkBody body;
};
struct Shutdown {};
struct WorkerReady {
  WorkerReadyBody body;
};
struct SegmentRequest {
  uint64_t size_bytes;
};
struct SegmentGrant {  // kSegment, with its memfd
  uint64_t segment_id;
  uint64_t size_bytes;
};
struct ValueSegment {  // with its memfd; never mistaken for the segment of a task on its way
  uint64_t segment_id;
  uint64_t size_bytes;
};
struct SegmentDenied {
  uint64_t size_bytes;
  std::string reason;
};
struct SegmentRelease {
  uint64_t segment_id;
};

using Message =
    std::variant<Ready, Failed, Forked, ForkFailed, Exited, Fork, Shutdown, WorkerReady,
                 SegmentRequest, SegmentGrant, SegmentDenied, SegmentRelease, ValueSegment>;

// Places of kFork's descriptors.
enum ForkDescriptor : size_t {
  kForkLane = 0,
  kForkDownEvent = 1,
  kForkUpEvent = 2,
  kForkControl = 3,
  kForkStdout = 4,
  kForkStderr = 5,
  kForkDescriptorCount = 6,
};

MessageType TypeOf(const Message& message);
// For logs: "FORKED", or "type 77".
std::string TypeName(uint32_t type);
// How many descriptors go with the message.
size_t DescriptorCount(const Message& message);

// One packet. Text is made valid UTF-8 and cut so that the packet fits in kMaxMessageBytes.
std::string Encode(const Message& message);

// Reads one packet that came with `descriptor_count` descriptors. INVALID_ARGUMENT names the
// message type and the field that is wrong: unknown type, wrong length, wrong number of
// descriptors, absurd value. Malformed UTF-8 in text is replaced, not refused.
absl::StatusOr<Message> Decode(std::string_view packet, size_t descriptor_count);

}  // namespace prefork::zygote

#endif  // PREFORK_COMMON_ZYGOTE_MESSAGE_H_
