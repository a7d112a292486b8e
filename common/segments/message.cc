// Large payloads of clients on the same host, by descriptor.
//
//   client                             daemon                               worker
//   HELLO --------------------------->  SO_PEERCRED, access policy
//        <-------------------- WELCOME  token
//   ALLOCATE size ------------------->  lease: client
//        <---------------- GRANT + fd
//   writes the payload in place
//   Submit{token, segment, offset, size} over gRPC
//                                       lease: client and task
//                                       SEGMENT + fd -------------------->  lease: and worker
//                                                                           maps it read-only
//                                       VALUE_SEGMENT + fd <-- request ---  writes the value
//        <------- GRANT(request 0) + fd lease: task and client
//        <------------ the event that the task has finished, over gRPC
//   maps it read-only
//   RELEASE segment ----------------->  the lease of the client ends
//
// Leases. A segment is memory of the daemon, counted and bounded (limits.client_segments and the
// like), for which it keeps one reference for each connection, task and worker that uses it. It is
// free when the last of them has gone; a connection's references go with the connection, so with
// the client's life. A client may use its segment for many tasks, and again when they have ended;
// or give it away with the submit, which saves the RELEASE. What it only lends is not kept beyond
// the task's end, so such a task can't be run once more.
//
// The way back. The value of a task of a session is sent ahead of the event that names it, so the
// client finds it in its socket when it reads of it and asks for nothing. When the socket is full it
// waits in the daemon, and nothing more is read of that client until it has gone out. It is not sent
// when too many wait, or the client has no room left within its bounds: then the event names no
// segment, and ReadValue has the value in chunks. OPEN_VALUE is for those who have no session.
//
// Who may what. The token is known to the connection alone, cannot be guessed, and counts only for
// calls of the same user; so nobody can name the segments of somebody else. A payload is untrusted
// and may change while it is read: its writer has it mapped, and no seal forbids that
// (F_SEAL_FUTURE_WRITE would end the recycling of memory). Sizes and offsets never come from the
// segment but from messages, which are copied once and checked against the size of the memfd, and
// that is sealed. So a client that writes at the wrong time spoils its own task, no more. The
// daemon itself reads from a client's segment only to copy it or to send it. Values are sent with a
// descriptor that is open for reading only. Recycled memory goes back to the same user only
// (common/shm/segment.cc).
//
// Pages are allocated before the descriptor is sent, so a full memory is DENIED and no SIGBUS. When
// the daemon gives memory back to the kernel it punches the pages out of the memfd: mappings kept by
// either end for the next time (common/shm/segment_maps.cc) hold nothing then. So whoever touches a
// segment without a lease reads zeros or somebody's next payload of the same user, and never faults.
#include "common/segments/message.h"

#include <iterator>

#include "absl/strings/str_cat.h"
#include "common/os/check.h"
#include "common/wire/packet_format.h"

namespace prefork::segments {
namespace {

using wire::Bytes;
using wire::Parse;

// In the order of the alternatives of Message.
constexpr wire::PacketType kTypes[] = {
    {MessageType::kHello, "HELLO", sizeof(HelloBody), false, 0},
    {MessageType::kAllocate, "ALLOCATE", sizeof(AllocateBody), false, 0},
    {MessageType::kOpenValue, "OPEN_VALUE", sizeof(OpenValueBody), false, 0},
    {MessageType::kRelease, "RELEASE", sizeof(ReleaseBody), false, 0},
    {MessageType::kWelcome, "WELCOME", sizeof(WelcomeBody), false, 0},
    {MessageType::kGrant, "GRANT", sizeof(GrantBody), false, 1},
    {MessageType::kDenied, "DENIED", sizeof(DeniedBody), true, 0},
};
static_assert(std::size(kTypes) == std::variant_size_v<Message>);

const wire::PacketType& RowOf(const Message& message) { return kTypes[message.index()]; }

struct BodyBytes {
  std::string operator()(const Hello& m) const { return Bytes(HelloBody{m.protocol_version, 0}); }
  std::string operator()(const Allocate& m) const {
    return Bytes(AllocateBody{m.request, m.size_bytes});
  }
  std::string operator()(const OpenValue& m) const {
    return Bytes(OpenValueBody{m.request, m.task_id});
  }
  std::string operator()(const Release& m) const { return Bytes(ReleaseBody{m.segment_id}); }
  std::string operator()(const Welcome& m) const {
    return Bytes(WelcomeBody{m.protocol_version, 0, m.token});
  }
  std::string operator()(const Grant& m) const {
    return Bytes(GrantBody{m.request, m.segment_id, m.offset, m.size_bytes});
  }
  std::string operator()(const Denied& m) const {
    return Bytes(DeniedBody{m.request, static_cast<uint32_t>(m.why.code()), 0});
  }
};

// What is absurd about a number, or nothing.
struct Complaint {
  std::string operator()(const Hello& m) const { return OfVersion(m.protocol_version); }
  std::string operator()(const Allocate& m) const {
    if (m.request == 0) return "request 0";
    return m.size_bytes == 0 ? "size 0" : "";
  }
  std::string operator()(const OpenValue& m) const {
    if (m.request == 0) return "request 0";
    return m.task_id == 0 ? "task ID 0" : "";
  }
  std::string operator()(const Release& m) const { return m.segment_id == 0 ? "segment ID 0" : ""; }
  std::string operator()(const Welcome& m) const { return OfVersion(m.protocol_version); }
  std::string operator()(const Grant& m) const {
    if (m.segment_id == 0) return "segment ID 0";
    if (m.size_bytes == 0) return "size 0";
    return m.offset > UINT64_MAX - m.size_bytes ? absl::StrCat("offset ", m.offset) : "";
  }
  std::string operator()(const Denied& m) const { return m.request == 0 ? "request 0" : ""; }

  static std::string OfVersion(uint32_t version) {
    if (version == kProtocolVersion) return "";
    return absl::StrCat("protocol version ", version, ", this side speaks ", kProtocolVersion);
  }
};

absl::StatusOr<Message> MakeMessage(MessageType type, std::string_view body,
                                    const std::string& text) {
  switch (type) {
    case MessageType::kHello:
      return Hello{Parse<HelloBody>(body).protocol_version};
    case MessageType::kAllocate: {
      const auto fields = Parse<AllocateBody>(body);
      return Allocate{fields.request, fields.size_bytes};
    }
    case MessageType::kOpenValue: {
      const auto fields = Parse<OpenValueBody>(body);
      return OpenValue{fields.request, fields.task_id};
    }
    case MessageType::kRelease:
      return Release{Parse<ReleaseBody>(body).segment_id};
    case MessageType::kWelcome: {
      const auto fields = Parse<WelcomeBody>(body);
      return Welcome{fields.token, fields.protocol_version};
    }
    case MessageType::kGrant: {
      const auto fields = Parse<GrantBody>(body);
      return Grant{fields.request, fields.segment_id, fields.offset, fields.size_bytes};
    }
    case MessageType::kDenied: {
      const auto fields = Parse<DeniedBody>(body);
      if (fields.code == 0 ||
          fields.code > static_cast<uint32_t>(absl::StatusCode::kUnauthenticated)) {
        return absl::InvalidArgumentError(absl::StrCat("DENIED: status code ", fields.code));
      }
      return Denied{fields.request, absl::Status(static_cast<absl::StatusCode>(fields.code), text)};
    }
  }
  PREFORK_CHECK(false);  // kTypes has a type that this switch has not
}

}  // namespace

std::string TypeName(uint32_t type) { return wire::TypeName(kTypes, type); }

MessageType TypeOf(const Message& message) { return static_cast<MessageType>(RowOf(message).type); }

size_t DescriptorCount(const Message& message) { return RowOf(message).descriptors; }

std::string Encode(const Message& message) {
  const std::string body = std::visit(BodyBytes{}, message);
  std::string text;
  if (const auto* denied = std::get_if<Denied>(&message)) {
    const absl::string_view why = denied->why.message();
    text = wire::FittingText({why.data(), why.size()}, body.size(), kMaxMessageBytes);
  }
  return wire::EncodePacket(RowOf(message), body, text);
}

absl::StatusOr<Message> Decode(std::string_view packet, size_t descriptor_count) {
  const absl::StatusOr<wire::SplitMessage> split =
      wire::SplitPacket(kTypes, packet, descriptor_count, kMaxMessageBytes);
  if (!split.ok()) return split.status();
  absl::StatusOr<Message> message =
      MakeMessage(static_cast<MessageType>(split->type->type), split->body, split->text);
  if (!message.ok()) return message;
  if (const std::string complaint = std::visit(Complaint{}, *message); !complaint.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(split->type->name, ": ", complaint));
  }
  return message;
}

}  // namespace prefork::segments
