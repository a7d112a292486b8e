#include "server/engine/output_buffer.h"

#include <random>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace prefork::engine {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(OutputBufferTest, KeepsEverythingUpToItsBound) {
  OutputBuffer buffer(10);
  buffer.Append("hello");
  buffer.Append("world");
  const auto pieces = buffer.Read(0);
  ASSERT_THAT(pieces, SizeIs(1));
  EXPECT_EQ(pieces[0].offset, 0u);
  EXPECT_EQ(pieces[0].data, "helloworld");
  EXPECT_EQ(buffer.Tail(7), "loworld");
}

TEST(OutputBufferTest, DropsTheMiddleAndSaysWhereTheEndBegins) {
  OutputBuffer buffer(10);
  buffer.Append("abcdefghijklmnopqrstuvwxyz");
  EXPECT_EQ(buffer.total_bytes(), 26u);
  const auto pieces = buffer.Read(0);
  ASSERT_THAT(pieces, SizeIs(2));
  EXPECT_EQ(pieces[0].data, "abcde");
  EXPECT_EQ(pieces[1].offset, 21u);
  EXPECT_EQ(pieces[1].data, "vwxyz");
}

TEST(OutputBufferTest, ReadsFromAnOffsetInHeadGapAndTail) {
  OutputBuffer buffer(10);
  buffer.Append("abcdefghijklmnopqrstuvwxyz");
  EXPECT_EQ(buffer.Read(3)[0].data, "de");
  const auto in_gap = buffer.Read(10);
  ASSERT_THAT(in_gap, SizeIs(1));
  EXPECT_EQ(in_gap[0].offset, 21u);
  const auto in_tail = buffer.Read(24);
  ASSERT_THAT(in_tail, SizeIs(1));
  EXPECT_EQ(in_tail[0].offset, 24u);
  EXPECT_EQ(in_tail[0].data, "yz");
  EXPECT_THAT(buffer.Read(26), IsEmpty());
  EXPECT_THAT(buffer.Read(1000), IsEmpty());
}

TEST(OutputBufferTest, TheTailNeverJoinsWhatIsNotAdjacent) {
  OutputBuffer buffer(8);
  buffer.Append("abcdefghijkl");
  EXPECT_EQ(buffer.Tail(100), "ijkl");
}

TEST(OutputBufferTest, ABoundOfZeroKeepsNothingButCounts) {
  OutputBuffer buffer(0);
  buffer.Append("abc");
  EXPECT_EQ(buffer.total_bytes(), 3u);
  EXPECT_THAT(buffer.Read(0), IsEmpty());
  EXPECT_EQ(buffer.Tail(3), "");
}

// Whatever is read is what was written there, and no more is kept than allowed.
TEST(OutputBufferTest, EveryByteReadIsTheByteWrittenAtItsOffset) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    const size_t bound = random() % 64;
    OutputBuffer buffer(bound);
    std::string written;
    for (int i = 0; i < 20; ++i) {
      std::string piece(random() % 40, ' ');
      for (char& c : piece) c = static_cast<char>('a' + random() % 26);
      buffer.Append(piece);
      written += piece;
      const uint64_t offset = random() % (written.size() + 1);
      size_t kept = 0;
      uint64_t end = offset;
      for (const OutputBuffer::Piece& p : buffer.Read(offset)) {
        EXPECT_GE(p.offset, end);
        EXPECT_EQ(p.data, written.substr(p.offset, p.data.size()));
        kept += p.data.size();
        end = p.offset + p.data.size();
      }
      EXPECT_LE(kept, bound);
      if (kept > 0) {
        EXPECT_EQ(end, written.size());
      }
      if (written.size() <= bound) {
        EXPECT_EQ(kept, written.size() - offset);
      }
      const std::string tail = buffer.Tail(bound / 2);
      EXPECT_EQ(tail, written.substr(written.size() - tail.size()));
    }
  }
}

TEST(OutputBufferTest, WhatComesAfterADropIsKeptAtItsOffset) {
  OutputBuffer buffer(8);
  buffer.Append("0123456789");
  buffer.DropKept();
  EXPECT_TRUE(buffer.Read(0).empty());
  EXPECT_EQ(buffer.total_bytes(), 10u);
  buffer.Append("ab");
  ASSERT_EQ(buffer.Read(0).size(), 1u);
  EXPECT_EQ(buffer.Read(0)[0].offset, 10u);
  EXPECT_EQ(buffer.Read(0)[0].data, "ab");
  EXPECT_EQ(buffer.Tail(5), "ab");
}

}  // namespace
}  // namespace prefork::engine
