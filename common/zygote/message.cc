// What each message consists of (kTypes, as common/wire/packet_format.cc explains), and which of its
// numbers are absurd. Numbers that no honest peer would send are refused here, so that the rest of
// the daemon can rely on them.
#include "common/zygote/message.h"

#include <sys/wait.h>

#include <iterator>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/os/check.h"
#include "common/wire/packet_format.h"

namespace prefork::zygote {
namespace {

using wire::Bytes;
using wire::Parse;

// In the order of the alternatives of Message.
constexpr wire::PacketType kTypes[] = {
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
static_assert(std::size(kTypes) == std::variant_size_v<Message>);

const wire::PacketType& RowOf(const Message& message) { return kTypes[message.index()]; }

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

MessageType TypeOf(const Message& message) { return static_cast<MessageType>(RowOf(message).type); }

std::string TypeName(uint32_t type) { return wire::TypeName(kTypes, type); }

size_t DescriptorCount(const Message& message) { return RowOf(message).descriptors; }

std::string Encode(const Message& message) {
  const std::string body = std::visit(BodyBytes{}, message);
  const std::string_view whole_text = std::visit(Text{}, message);
  std::string text = wire::FittingText(whole_text, body.size(), kMaxMessageBytes);
  // A list of functions is cut at the end of a line, so that no name is cut.
  if (std::holds_alternative<Ready>(message) && text.size() < whole_text.size())
    text.resize(text.rfind('\n') + 1);
  return wire::EncodePacket(RowOf(message), body, text);
}

absl::StatusOr<Message> Decode(std::string_view packet, size_t descriptor_count) {
  absl::StatusOr<wire::SplitMessage> split =
      wire::SplitPacket(kTypes, packet, descriptor_count, kMaxMessageBytes);
  if (!split.ok()) return split.status();
  Message message =
      MakeMessage(static_cast<MessageType>(split->type->type), split->body, std::move(split->text));
  if (const std::string complaint = std::visit(Complaint{}, message); !complaint.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(split->type->name, ": ", complaint));
  }
  return message;
}

}  // namespace prefork::zygote
