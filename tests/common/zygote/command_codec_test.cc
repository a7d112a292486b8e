#include "common/zygote/command_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <string>

namespace prefork::zygote {
namespace {

using ::testing::HasSubstr;

CommandBlock FullBlock() {
  CommandBlock command;
  command.argv = {"grep", "-c", "", "a b\nc"};
  command.env = {{"PATH", "/bin"}, {"EMPTY", ""}, {"EQUALS", "a=b"}};
  command.cwd = "/var/tmp";
  command.limits = {{7, 64}, {0, UINT64_MAX}};
  command.stdin_bytes = std::string("any\0bytes\xff", 10);
  return command;
}

TEST(CommandCodecTest, EveryFieldSurvivesTheRoundTrip) {
  const absl::StatusOr<CommandBlock> decoded = DecodeCommand(EncodeCommand(FullBlock()));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(*decoded, FullBlock());
}

TEST(CommandCodecTest, TheSmallestCommandIsItsName) {
  CommandBlock command;
  command.argv = {"true"};
  const absl::StatusOr<CommandBlock> decoded = DecodeCommand(EncodeCommand(command));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(*decoded, command);
}

TEST(CommandCodecTest, EveryTruncationIsRefused) {
  const std::string bytes = EncodeCommand(FullBlock());
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(DecodeCommand(bytes.substr(0, size)).status().code(),
              absl::StatusCode::kInvalidArgument)
        << size;
  }
}

TEST(CommandCodecTest, TrailingBytesAreRefused) {
  EXPECT_THAT(DecodeCommand(EncodeCommand(FullBlock()) + "xy").status().message(),
              HasSubstr("2 bytes too many"));
}

TEST(CommandCodecTest, AnotherVersionIsRefused) {
  std::string bytes = EncodeCommand(FullBlock());
  bytes[0] = 9;
  EXPECT_THAT(DecodeCommand(bytes).status().message(), HasSubstr("different releases"));
}

TEST(CommandCodecTest, ALyingCountIsRefusedBeforeAnythingIsReserved) {
  std::string bytes = EncodeCommand(FullBlock());
  const uint32_t absurd = UINT32_MAX;
  std::memcpy(bytes.data() + sizeof(uint32_t), &absurd, sizeof(absurd));
  EXPECT_THAT(DecodeCommand(bytes).status().message(), HasSubstr("argv: needs 17179869180 bytes"));
}

TEST(CommandCodecTest, EachImpossibleFieldIsNamed) {
  CommandBlock empty;
  EXPECT_THAT(DecodeCommand(EncodeCommand(empty)).status().message(), HasSubstr("argv: empty"));
  empty.argv = {""};
  EXPECT_THAT(DecodeCommand(EncodeCommand(empty)).status().message(),
              HasSubstr("the program's name is empty"));
  CommandBlock with_nul = FullBlock();
  with_nul.argv[1] = std::string("a\0b", 3);
  EXPECT_THAT(DecodeCommand(EncodeCommand(with_nul)).status().message(),
              HasSubstr("argv: contains a NUL byte"));
  CommandBlock bad_name = FullBlock();
  bad_name.env[1].first = "A=B";
  EXPECT_THAT(DecodeCommand(EncodeCommand(bad_name)).status().message(),
              HasSubstr("'A=B' can't be the name of a variable"));
}

}  // namespace
}  // namespace prefork::zygote
