#include "common/wire/packet_format.h"

#include <cstring>
#include <string>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace prefork::wire {
namespace {

constexpr size_t kMaxBytes = 64;

enum class Type : uint32_t { kBare = 1, kNote = 2, kGift = 300 };

struct NoteBody {
  uint32_t first;
  uint32_t second;
};

constexpr PacketType kTypes[] = {
    {Type::kBare, "BARE", 0, false, 0},
    {Type::kNote, "NOTE", sizeof(NoteBody), true, 0},
    {Type::kGift, "GIFT", sizeof(NoteBody), false, 2},
};

std::string NotePacket(std::string_view text) {
  return EncodePacket(kTypes[1], Bytes(NoteBody{7, 8}), text);
}

std::string Refusal(std::string_view packet, size_t descriptors = 0) {
  const absl::Status status = SplitPacket(kTypes, packet, descriptors, kMaxBytes).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  return std::string(status.message());
}

TEST(PacketFormatTest, APacketIsHeaderBodyAndTextByteForByte) {
  using std::string_literals::operator""s;
  EXPECT_EQ(NotePacket("hi"), "\2\0\0\0\2\0\0\0\7\0\0\0\10\0\0\0hi"s);
  EXPECT_EQ(EncodePacket(kTypes[0], "", ""), "\1\0\0\0\0\0\0\0"s);
  EXPECT_EQ(EncodePacket(kTypes[2], Bytes(NoteBody{1, 2}), ""),
            "\54\1\0\0\0\0\0\0\1\0\0\0\2\0\0\0"s);
}

TEST(PacketFormatTest, WhatWasEncodedIsTakenApartAgain) {
  const std::string packet = NotePacket("hi");
  const absl::StatusOr<SplitMessage> note = SplitPacket(kTypes, packet, 0, kMaxBytes);
  ASSERT_TRUE(note.ok()) << note.status();
  EXPECT_EQ(note->type, &kTypes[1]);
  EXPECT_EQ(Parse<NoteBody>(note->body).second, 8u);
  EXPECT_EQ(note->text, "hi");
  const std::string gift_packet = EncodePacket(kTypes[2], Bytes(NoteBody{1, 2}), "");
  const absl::StatusOr<SplitMessage> gift = SplitPacket(kTypes, gift_packet, 2, kMaxBytes);
  ASSERT_TRUE(gift.ok()) << gift.status();
  EXPECT_EQ(gift->type, &kTypes[2]);
  EXPECT_EQ(gift->text, "");
}

TEST(PacketFormatTest, EveryCutAndEveryAdditionIsRefused) {
  const std::string packet = NotePacket("hi");
  for (size_t size = 0; size < packet.size(); ++size) {
    EXPECT_NE(Refusal(packet.substr(0, size)), "") << size;
  }
  EXPECT_EQ(Refusal(packet.substr(0, 3)), "message of 3 bytes");
  EXPECT_EQ(Refusal(packet + "!"), "NOTE of 11 bytes, its header says 10");
  EXPECT_EQ(Refusal(std::string(kMaxBytes + 1, '\0')), "message of 65 bytes");
}

TEST(PacketFormatTest, AHeaderThatLiesIsQuoted) {
  std::string packet = NotePacket("hi");
  const uint32_t huge = UINT32_MAX;
  std::memcpy(packet.data() + offsetof(MessageHeader, text_bytes), &huge, sizeof(huge));
  EXPECT_EQ(Refusal(packet), "NOTE of 10 bytes, its header says 4294967303");
  std::memcpy(packet.data(), &huge, sizeof(huge));
  EXPECT_EQ(Refusal(packet), "message of unknown type 4294967295");
  std::string bare = EncodePacket(kTypes[0], "", "") + "x";
  bare[offsetof(MessageHeader, text_bytes)] = 1;
  EXPECT_EQ(Refusal(bare), "BARE with 1 bytes of text, none expected");
}

TEST(PacketFormatTest, AnotherNumberOfDescriptorsIsRefused) {
  EXPECT_EQ(Refusal(NotePacket(""), 1), "NOTE with 1 descriptors instead of 0");
  EXPECT_EQ(Refusal(EncodePacket(kTypes[2], Bytes(NoteBody{1, 2}), ""), 1),
            "GIFT with 1 descriptors instead of 2");
}

TEST(PacketFormatTest, TextIsMadeValidAndCutToThePacket) {
  EXPECT_EQ(FittingText("a\xff", sizeof(NoteBody), kMaxBytes), "a\xef\xbf\xbd");
  const std::string text = FittingText(std::string(500, 'x'), sizeof(NoteBody), kMaxBytes);
  EXPECT_EQ(NotePacket(text).size(), kMaxBytes);
  EXPECT_TRUE(SplitPacket(kTypes, NotePacket(text), 0, kMaxBytes).ok());
  const std::string broken = NotePacket("a\xff");
  const absl::StatusOr<SplitMessage> read = SplitPacket(kTypes, broken, 0, kMaxBytes);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->text, "a\xef\xbf\xbd");
}

TEST(PacketFormatTest, TypesAreFoundByNumberAndNamedForLogs) {
  EXPECT_EQ(FindType(kTypes, 300), &kTypes[2]);
  EXPECT_EQ(FindType(kTypes, 3), nullptr);
  EXPECT_EQ(TypeName(kTypes, 300), "GIFT");
  EXPECT_EQ(TypeName(kTypes, 77), "type 77");
}

}  // namespace
}  // namespace prefork::wire
