// One message is one packet:
//
//     | type (4) | text_bytes (4) | fixed body, its size given by the type | text |     +
//     descriptors by SCM_RIGHTS
//
// kTypes says for each type how long the body is, whether text may follow and how many descriptors
// come along. The packet must be exactly that long. Numbers that no honest peer would send are
// refused here, so that the rest of the daemon can rely on them.
#include "common/zygote/message.h"

#include <sys/wait.h>

#include <cstring>
#include <limits>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "common/os/check.h"
#include "common/text/utf8.h"

namespace prefork::zygote {
namespace {

struct TypeInfo {
  MessageType type;
  const char* name;
  size_t body_bytes;
  bool has_text;
  size_t descriptors;
};

constexpr TypeInfo kTypes[] = {
    {MessageType::kReady, "READY", sizeof(ReadyBody), true, 0},
    {MessageType::kFailed, "FAILED", 0, true, 0},
    {MessageType::kForked, "FORKED", sizeof(ForkedBody), false, 1},
    {MessageType::kForkFailed, "FORK_FAILED", sizeof(ForkFailedBody), true, 0},
    {MessageType::kExited, "EXITED", sizeof(ExitedBody), false, 0},
    {MessageType::kFork, "FORK", sizeof(ForkBody), false, kForkDescriptorCount},
    {MessageType::kShutdown, "SHUTDOWN", 0, false, 0},
    {MessageType::kWorkerReady, "WORKER_READY", sizeof(WorkerReadyBody), false, 0},
    {MessageType::kSegmentRequest, "SEGMENT_REQUEST", sizeof(SegmentBody), false, 0},
    {MessageType::kSegment, "SEGMENT", sizeof(SegmentBody), false, 1},
    {MessageType::kSegmentDenied, "SEGMENT_DENIED", sizeof(SegmentBody), true, 0},
    {MessageType::kSegmentRelease, "SEGMENT_RELEASE", sizeof(SegmentBody), false, 0},
    {MessageType::kValueSegment, "VALUE_SEGMENT", sizeof(SegmentBody), false, 1},
};

const TypeInfo* FindType(uint32_t type) {
  for (const TypeInfo& info : kTypes) {
    if (static_cast<uint32_t>(info.type) == type) return &info;
  }
  return nullptr;
}

// The parts of a message on their way in or out.
template <typename Body>
std::string Bytes(const Body& body) {
  static_assert(
      std::is_trivially_copyable_v<Body> && std::has_unique_object_representations_v<Body>,
      "no padding: its bytes would leak memory");
  return std::string(reinterpret_cast<const char*>(&body), sizeof(body));
}

template <typename Body>
Body Parse(std::string_view bytes) {
  Body body;
  PREFORK_CHECK(bytes.size() == sizeof(body));
  memcpy(&body, bytes.data(), sizeof(body));
  return body;
}

struct BodyBytes {
  std::string operator()(const Ready& m) const { return Bytes(m.body); }
  std::string operator()(const Failed&) const { return {}; }
  std::string operator()(const Forked& m) const { return Bytes(m.body); }
  std::string operator()(const ForkFailed& m) const { return Bytes(m.body); }
  std::string operator()(const Exited& m) const { return Bytes(m.body); }
  std::string operator()(const Fork& m) const { return Bytes(m.body); }
  std::string operator()(const Shutdown&) const { return {}; }
  std::string operator()(const WorkerReady& m) const { return Bytes(m.body); }
  std::string operator()(const SegmentRequest& m) const {
    return Bytes(SegmentBody{0, m.size_bytes});
  }
  std::string operator()(const SegmentGrant& m) const {
    return Bytes(SegmentBody{m.segment_id, m.size_bytes});
  }
  std::string operator()(const ValueSegment& m) const {
    return Bytes(SegmentBody{m.segment_id, m.size_bytes});
  }
  std::string operator()(const SegmentDenied& m) const {
    return Bytes(SegmentBody{0, m.size_bytes});
  }
  std::string operator()(const SegmentRelease& m) const {
    return Bytes(SegmentBody{m.segment_id, 0});
  }
};

struct Text {
  std::string_view operator()(const Ready& m) const { return m.functions; }
  std::string_view operator()(const Failed& m) const { return m.reason; }
  std::string_view operator()(const ForkFailed& m) const { return m.reason; }
  std::string_view operator()(const SegmentDenied& m) const { return m.reason; }
  template <typename Other>
  std::string_view operator()(const Other&) const {
    return {};
  }
};

struct TypeOfMessage {
  MessageType operator()(const Ready&) const { return MessageType::kReady; }
  MessageType operator()(const Failed&) const { return MessageType::kFailed; }
  MessageType operator()(const Forked&) const { return MessageType::kForked; }
  MessageType operator()(const ForkFailed&) const { return MessageType::kForkFailed; }
  MessageType operator()(const Exited&) const { return MessageType::kExited; }
  MessageType operator()(const Fork&) const { return MessageType::kFork; }
  MessageType operator()(const Shutdown&) const { return MessageType::kShutdown; }
  MessageType operator()(const WorkerReady&) const { return MessageType::kWorkerReady; }
  MessageType operator()(const SegmentRequest&) const { return MessageType::kSegmentRequest; }
  MessageType operator()(const SegmentGrant&) const { return MessageType::kSegment; }
  MessageType operator()(const ValueSegment&) const { return MessageType::kValueSegment; }
  MessageType operator()(const SegmentDenied&) const { return MessageType::kSegmentDenied; }
  MessageType operator()(const SegmentRelease&) const { return MessageType::kSegmentRelease; }
};

Message MakeMessage(MessageType type, std::string_view body, std::string text) {
  switch (type) {
    case MessageType::kReady:
      return Ready{Parse<ReadyBody>(body), std::move(text)};
    case MessageType::kFailed:
      return Failed{std::move(text)};
    case MessageType::kForked:
      return Forked{Parse<ForkedBody>(body)};
    case MessageType::kForkFailed:
      return ForkFailed{Parse<ForkFailedBody>(body), std::move(text)};
    case MessageType::kExited:
      return Exited{Parse<ExitedBody>(body)};
    case MessageType::kFork:
      return Fork{Parse<ForkBody>(body)};
    case MessageType::kShutdown:
      return Shutdown{};
    case MessageType::kWorkerReady:
      return WorkerReady{Parse<WorkerReadyBody>(body)};
    case MessageType::kSegmentRequest:
      return SegmentRequest{Parse<SegmentBody>(body).size_bytes};
    case MessageType::kSegment: {
      const auto segment = Parse<SegmentBody>(body);
      return SegmentGrant{segment.segment_id, segment.size_bytes};
    }
    case MessageType::kValueSegment: {
      const auto segment = Parse<SegmentBody>(body);
      return ValueSegment{segment.segment_id, segment.size_bytes};
    }
    case MessageType::kSegmentDenied:
      return SegmentDenied{Parse<SegmentBody>(body).size_bytes, std::move(text)};
    case MessageType::kSegmentRelease:
      return SegmentRelease{Parse<SegmentBody>(body).segment_id};
  }
  PREFORK_CHECK(false);  // kTypes has a type that this switch has not
}

// What is absurd about the numbers of a message, or nothing.
struct Complaint {
  static bool IsPid(uint32_t pid) { return pid > 0 && pid <= std::numeric_limits<int32_t>::max(); }

  std::string operator()(const Ready& m) const {
    if (m.body.protocol_version != kProtocolVersion) {
      return absl::StrCat("protocol version ", m.body.protocol_version, ", this daemon speaks ",
                          kProtocolVersion, "; install worker and daemon of one release");
    }
    return IsPid(m.body.pid) ? "" : absl::StrCat("pid ", m.body.pid);
  }
  std::string operator()(const Forked& m) const {
    return IsPid(m.body.pid) ? "" : absl::StrCat("pid ", m.body.pid);
  }
  std::string operator()(const ForkFailed& m) const {
    return m.body.error_number > 0 ? "" : absl::StrCat("error number ", m.body.error_number);
  }
  std::string operator()(const Exited& m) const {
    const ExitedBody& body = m.body;
    if (!IsPid(body.pid)) return absl::StrCat("pid ", body.pid);
    if (!WIFEXITED(body.wait_status) && !WIFSIGNALED(body.wait_status)) {
      return absl::StrCat("wait status ", body.wait_status);
    }
    const bool negative = body.user_cpu_ns < 0 || body.system_cpu_ns < 0 ||
                          body.max_rss_bytes < 0 || body.minor_faults < 0 ||
                          body.major_faults < 0 || body.voluntary_switches < 0 ||
                          body.involuntary_switches < 0;
    return negative ? "negative resource usage" : "";
  }
  std::string operator()(const Fork& m) const {
    return m.body.dedicated <= 1 ? "" : absl::StrCat("dedicated ", m.body.dedicated);
  }
  std::string operator()(const SegmentRequest& m) const { return m.size_bytes > 0 ? "" : "size 0"; }
  std::string operator()(const SegmentGrant& m) const {
    return OfSegment(m.segment_id, m.size_bytes);
  }
  std::string operator()(const ValueSegment& m) const {
    return OfSegment(m.segment_id, m.size_bytes);
  }
  std::string operator()(const SegmentRelease& m) const {
    return m.segment_id > 0 ? "" : "segment ID 0";
  }
  template <typename Other>
  std::string operator()(const Other&) const {
    return "";
  }

  static std::string OfSegment(uint64_t id, uint64_t size_bytes) {
    if (id == 0) return "segment ID 0";
    return size_bytes > 0 ? "" : "size 0";
  }
};

}  // namespace

MessageType TypeOf(const Message& message) { return std::visit(TypeOfMessage{}, message); }

std::string TypeName(uint32_t type) {
  const TypeInfo* info = FindType(type);
  return info == nullptr ? absl::StrCat("type ", type) : info->name;
}

size_t DescriptorCount(MessageType type) {
  const TypeInfo* info = FindType(static_cast<uint32_t>(type));
  return info == nullptr ? 0 : info->descriptors;
}

std::string Encode(const Message& message) {
  const std::string body = std::visit(BodyBytes{}, message);
  const std::string_view whole_text = std::visit(Text{}, message);
  std::string text =
      text::CleanUtf8(whole_text, kMaxMessageBytes - sizeof(MessageHeader) - body.size());
  // A list of functions is cut at the end of a line, so that no name is cut.
  if (std::holds_alternative<Ready>(message) && text.size() < whole_text.size())
    text.resize(text.rfind('\n') + 1);
  const MessageHeader header = {static_cast<uint32_t>(TypeOf(message)),
                                static_cast<uint32_t>(text.size())};
  return Bytes(header) + body + text;
}

absl::StatusOr<Message> Decode(std::string_view packet, size_t descriptor_count) {
  const auto refuse = [](const auto&... parts) {
    return absl::InvalidArgumentError(absl::StrCat(parts...));
  };
  if (packet.size() < sizeof(MessageHeader) || packet.size() > kMaxMessageBytes) {
    return refuse("message of ", packet.size(), " bytes");
  }
  const auto header = Parse<MessageHeader>(packet.substr(0, sizeof(MessageHeader)));
  packet.remove_prefix(sizeof(MessageHeader));
  const TypeInfo* info = FindType(header.type);
  if (info == nullptr) return refuse("message of unknown type ", header.type);
  if (!info->has_text && header.text_bytes != 0) {
    return refuse(info->name, " with ", header.text_bytes, " bytes of text, none expected");
  }
  // In 64 bits, so that the sum can't wrap.
  if (packet.size() != uint64_t{info->body_bytes} + header.text_bytes) {
    return refuse(info->name, " of ", packet.size(), " bytes, its header says ",
                  uint64_t{info->body_bytes} + header.text_bytes);
  }
  if (descriptor_count != info->descriptors) {
    return refuse(info->name, " with ", descriptor_count, " descriptors instead of ",
                  info->descriptors);
  }
  Message message = MakeMessage(info->type, packet.substr(0, info->body_bytes),
                                text::CleanUtf8(packet.substr(info->body_bytes)));
  if (const std::string complaint = std::visit(Complaint{}, message); !complaint.empty()) {
    return refuse(info->name, ": ", complaint);
  }
  return message;
}

}  // namespace prefork::zygote
