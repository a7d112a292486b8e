#ifndef PREFORK_COMMON_SEGMENTS_PROTOCOL_H_
#define PREFORK_COMMON_SEGMENTS_PROTOCOL_H_

#include <array>
#include <cstddef>
#include <cstdint>

// What a client and the daemon of the same host say on the second socket, beside gRPC's, on which
// large payloads and values go by descriptor. SOCK_SEQPACKET: one message is one packet
// (common/wire/packet_format.h), its body one of these structs. The daemon checks every byte that it
// receives. The design note is in message.cc.
namespace prefork::segments {

inline constexpr uint32_t kProtocolVersion = 1;
// The path of the socket is that of gRPC's with this at its end.
inline constexpr char kSocketSuffix[] = ".segments";
inline constexpr size_t kMaxMessageBytes = 1024;
// Names a connection elsewhere: in OpenSession and in the payload of a task. Random.
inline constexpr size_t kTokenBytes = 16;
using Token = std::array<char, kTokenBytes>;
// A payload begins at a multiple of this in its segment, a segment at the beginning of a page.
inline constexpr size_t kPayloadAlignment = 64;

enum class MessageType : uint32_t {
  // --- client -> daemon ---
  // The first message, once.
  kHello = 1,
  // Room for a payload: size. Answer: kGrant or kDenied.
  kAllocate = 2,
  // The value of a finished task. Answer: kGrant or kDenied.
  kOpenValue = 3,
  // The client has let go of a segment. As often as it was granted. No answer.
  kRelease = 4,

  // --- daemon -> client ---
  // Answer to kHello.
  kWelcome = 16,
  // One descriptor. With request 0 it answers nothing: the value of a task of the client's session,
  // sent ahead of the event that tells of it.
  kGrant = 17,
  // A status code; text: why not.
  kDenied = 18,
};

struct HelloBody {
  uint32_t protocol_version;
  uint32_t reserved;
};
struct AllocateBody {
  uint64_t request;  // the client's number, not 0; comes back in the answer
  uint64_t size_bytes;
};
struct OpenValueBody {
  uint64_t request;
  uint64_t task_id;
};
struct ReleaseBody {
  uint64_t segment_id;
};
struct WelcomeBody {
  uint32_t protocol_version;
  uint32_t reserved;
  Token token;
};
struct GrantBody {
  uint64_t request;
  uint64_t segment_id;
  uint64_t offset;      // of the value; 0 for room
  uint64_t size_bytes;  // of the value; or at least what was asked for
};
struct DeniedBody {
  uint64_t request;
  uint32_t code;  // absl::StatusCode
  uint32_t reserved;
};

}  // namespace prefork::segments

#endif  // PREFORK_COMMON_SEGMENTS_PROTOCOL_H_
