#include "common/segments/message.h"

#include <cstring>
#include <string>
#include <vector>

#include "common/wire/packet_format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace prefork::segments {
namespace {

using ::testing::HasSubstr;

constexpr Token kToken = {'t', 'o', 'k', 'e', 'n', '0', '1', '2',
                          '3', '4', '5', '6', '7', '8', '9', '!'};

std::vector<Message> OneOfEach() {
  return {Hello{},
          Allocate{1, 1 << 20},
          OpenValue{2, 4711},
          Release{5},
          Welcome{kToken},
          Grant{1, 5, 64, 1 << 20},
          Denied{1, absl::ResourceExhaustedError("no room")}};
}

std::string Refusal(const std::string& packet, size_t descriptors = 0) {
  const absl::Status status = Decode(packet, descriptors).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  return std::string(status.message());
}

template <typename Body>
std::string Packet(MessageType type, const Body& body) {
  const wire::MessageHeader header = {static_cast<uint32_t>(type), 0};
  return std::string(reinterpret_cast<const char*>(&header), sizeof(header)) +
         std::string(reinterpret_cast<const char*>(&body), sizeof(body));
}

TEST(SegmentMessageTest, EveryMessageComesBackAsItWas) {
  for (const Message& message : OneOfEach()) {
    const std::string packet = Encode(message);
    const absl::StatusOr<Message> again = Decode(packet, DescriptorCount(message));
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(again->index(), message.index());
    EXPECT_EQ(Encode(*again), packet);
  }
  const auto grant = std::get<Grant>(*Decode(Encode(Grant{1, 5, 64, 99}), 1));
  EXPECT_EQ(grant.segment_id, 5u);
  EXPECT_EQ(grant.offset, 64u);
  EXPECT_EQ(grant.size_bytes, 99u);
  const auto denied =
      std::get<Denied>(*Decode(Encode(Denied{7, absl::NotFoundError("no such task")}), 0));
  EXPECT_EQ(denied.why, absl::NotFoundError("no such task"));
  EXPECT_EQ(std::get<Welcome>(*Decode(Encode(Welcome{kToken}), 0)).token, kToken);
}

TEST(SegmentMessageTest, APacketOfAnotherLengthIsRefused) {
  for (const Message& message : OneOfEach()) {
    const std::string packet = Encode(message);
    const size_t descriptors = DescriptorCount(message);
    for (size_t size = 0; size < packet.size(); ++size) {
      EXPECT_FALSE(Decode(packet.substr(0, size), descriptors).ok()) << packet.size();
    }
    EXPECT_FALSE(Decode(packet + "x", descriptors).ok());
    EXPECT_FALSE(Decode(packet, descriptors + 1).ok());
  }
  EXPECT_THAT(Refusal(std::string(kMaxMessageBytes + 1, 'x')), HasSubstr("message of 1025 bytes"));
}

TEST(SegmentMessageTest, AbsurdNumbersAreRefusedByName) {
  EXPECT_EQ(Refusal(Packet(MessageType::kAllocate, AllocateBody{1, 0})), "ALLOCATE: size 0");
  EXPECT_EQ(Refusal(Packet(MessageType::kAllocate, AllocateBody{0, 1})), "ALLOCATE: request 0");
  EXPECT_EQ(Refusal(Packet(MessageType::kOpenValue, OpenValueBody{1, 0})), "OPEN_VALUE: task ID 0");
  EXPECT_EQ(Refusal(Packet(MessageType::kRelease, ReleaseBody{0})), "RELEASE: segment ID 0");
  EXPECT_EQ(Refusal(Packet(MessageType::kGrant, GrantBody{1, 0, 0, 1}), 1), "GRANT: segment ID 0");
  EXPECT_THAT(Refusal(Packet(MessageType::kGrant, GrantBody{1, 2, UINT64_MAX, 1}), 1),
              HasSubstr("GRANT: offset"));
  EXPECT_EQ(Refusal(Packet(MessageType::kDenied, DeniedBody{1, 0, 0})), "DENIED: status code 0");
  EXPECT_EQ(Refusal(Packet(MessageType::kDenied, DeniedBody{1, 99, 0})), "DENIED: status code 99");
  EXPECT_EQ(Refusal(Packet(MessageType::kHello, HelloBody{2, 0})),
            "HELLO: protocol version 2, this side speaks 1");
  EXPECT_EQ(Refusal(Packet(static_cast<MessageType>(77), ReleaseBody{1})),
            "message of unknown type 77");
}

TEST(SegmentMessageTest, LongTextIsCutAndBrokenTextReplaced) {
  const std::string packet =
      Encode(Denied{1, absl::InternalError(std::string(5000, 'x') + "\xff")});
  EXPECT_EQ(packet.size(), kMaxMessageBytes);
  EXPECT_TRUE(Decode(packet, 0).ok());
  std::string broken = Encode(Denied{1, absl::InternalError("abc")});
  broken.back() = '\xff';
  const absl::StatusOr<Message> read = Decode(broken, 0);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(std::get<Denied>(*read).why.message(), "ab\xef\xbf\xbd");
}

}  // namespace
}  // namespace prefork::segments
