// One message is one packet:
//
//     | type (4) | text_bytes (4) | fixed body, its size given by the type | text |     +
//     descriptors by SCM_RIGHTS
//
// Little-endian, no padding. The table of a protocol says for each type how long the body is, whether
// text may follow and how many descriptors come along; the packet must be exactly that long. Every
// byte may be hostile: the header is copied out once and checked before anything else is read.
#include "common/wire/packet_format.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/text/utf8.h"

namespace prefork::wire {

const PacketType* FindType(absl::Span<const PacketType> types, uint32_t type) {
  for (const PacketType& row : types) {
    if (row.type == type) return &row;
  }
  return nullptr;
}

std::string TypeName(absl::Span<const PacketType> types, uint32_t type) {
  const PacketType* row = FindType(types, type);
  return row == nullptr ? absl::StrCat("type ", type) : row->name;
}

std::string FittingText(std::string_view text, size_t body_bytes, size_t max_bytes) {
  return text::CleanUtf8(text, max_bytes - sizeof(MessageHeader) - body_bytes);
}

std::string EncodePacket(const PacketType& type, std::string_view body, std::string_view text) {
  PREFORK_CHECK(body.size() == type.body_bytes && (type.has_text || text.empty()));
  std::string packet = Bytes(MessageHeader{type.type, static_cast<uint32_t>(text.size())});
  packet.append(body);
  packet.append(text);
  return packet;
}

absl::StatusOr<SplitMessage> SplitPacket(absl::Span<const PacketType> types,
                                         std::string_view packet, size_t descriptor_count,
                                         size_t max_bytes) {
  const auto refuse = [](const auto&... parts) {
    return absl::InvalidArgumentError(absl::StrCat(parts...));
  };
  if (packet.size() < sizeof(MessageHeader) || packet.size() > max_bytes) {
    return refuse("message of ", packet.size(), " bytes");
  }
  const auto header = Parse<MessageHeader>(packet.substr(0, sizeof(MessageHeader)));
  packet.remove_prefix(sizeof(MessageHeader));
  const PacketType* type = FindType(types, header.type);
  if (type == nullptr) return refuse("message of unknown type ", header.type);
  if (!type->has_text && header.text_bytes != 0) {
    return refuse(type->name, " with ", header.text_bytes, " bytes of text, none expected");
  }
  // In 64 bits, so that the sum can't wrap.
  const uint64_t expected_bytes = uint64_t{type->body_bytes} + header.text_bytes;
  if (packet.size() != expected_bytes) {
    return refuse(type->name, " of ", packet.size(), " bytes, its header says ", expected_bytes);
  }
  if (descriptor_count != type->descriptors) {
    return refuse(type->name, " with ", descriptor_count, " descriptors instead of ",
                  type->descriptors);
  }
  return SplitMessage{type, packet.substr(0, type->body_bytes),
                      text::CleanUtf8(packet.substr(type->body_bytes))};
}

}  // namespace prefork::wire
