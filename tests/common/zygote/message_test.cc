#include "common/zygote/message.h"

#include <sys/wait.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace prefork::zygote {
namespace {

using ::testing::HasSubstr;

constexpr WorkerName kWorker = {.index = 3, .generation = 8};

std::vector<Message> OneOfEach() {
  return {
      Ready{{kProtocolVersion, 100}, "sum\tadds numbers\n"},
      Failed{"no module named numpy"},
      Forked{{kWorker, 101, 0}},
      ForkFailed{{kWorker, 11, 0}, "fork: Resource temporarily unavailable"},
      Exited{{kWorker, 101, W_EXITCODE(7, 0), 1, 2, 3, 4, 5, 6, 7}},
      Fork{{kWorker, 1, 0}},
      Shutdown{},
      WorkerReady{{kWorker}},
      SegmentRequest{1 << 20},
      SegmentGrant{5, 1 << 20},
      SegmentDenied{1 << 20, "no room"},
      SegmentRelease{5},
      ValueSegment{6, 1 << 20},
  };
}

std::string Refusal(const std::string& packet, size_t descriptors) {
  const absl::Status status = Decode(packet, descriptors).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  return std::string(status.message());
}

TEST(MessageTest, EveryMessageComesOutAsItWentIn) {
  for (const Message& message : OneOfEach()) {
    const std::string packet = Encode(message);
    const absl::StatusOr<Message> decoded = Decode(packet, DescriptorCount(message));
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    EXPECT_EQ(decoded->index(), message.index());
    EXPECT_EQ(Encode(*decoded), packet);
  }
}

TEST(MessageTest, FieldsKeepTheirValues) {
  const auto exited = std::get<Exited>(*Decode(Encode(OneOfEach()[4]), 0));
  EXPECT_EQ(exited.body.worker.generation, 8u);
  EXPECT_EQ(exited.body.wait_status, W_EXITCODE(7, 0));
  EXPECT_EQ(exited.body.involuntary_switches, 7);
  const auto failed = std::get<ForkFailed>(*Decode(Encode(OneOfEach()[3]), 0));
  EXPECT_EQ(failed.reason, "fork: Resource temporarily unavailable");
  EXPECT_EQ(std::get<ValueSegment>(*Decode(Encode(ValueSegment{6, 9}), 1)).size_bytes, 9u);
}

TEST(MessageTest, EveryCutOfEveryMessageIsRefused) {
  for (const Message& message : OneOfEach()) {
    const std::string packet = Encode(message);
    for (size_t length = 0; length < packet.size(); ++length) {
      EXPECT_FALSE(Decode(packet.substr(0, length), DescriptorCount(message)).ok());
    }
    EXPECT_FALSE(Decode(packet + "x", DescriptorCount(message)).ok());
  }
}

TEST(MessageTest, WrongNumberOfDescriptorsIsRefusedForEveryMessage) {
  for (const Message& message : OneOfEach()) {
    const size_t right = DescriptorCount(message);
    for (size_t count = 0; count < 8; ++count) {
      EXPECT_EQ(Decode(Encode(message), count).ok(), count == right);
    }
  }
  EXPECT_THAT(Refusal(Encode(Fork{{kWorker, 0, 0}}), 5),
              HasSubstr("FORK with 5 descriptors instead of 6"));
}

TEST(MessageTest, HeaderThatLiesIsRefusedWithWhatItSays) {
  std::string packet = Encode(Failed{"text"});
  const uint32_t huge = 0xffffffff;
  memcpy(packet.data() + 4, &huge, sizeof(huge));
  EXPECT_THAT(Refusal(packet, 0), HasSubstr("FAILED of 4 bytes, its header says 4294967295"));
  memcpy(packet.data(), &huge, sizeof(huge));
  EXPECT_THAT(Refusal(packet, 0), HasSubstr("unknown type 4294967295"));
  std::string shutdown = Encode(Shutdown{}) + "x";
  shutdown[4] = 1;
  EXPECT_THAT(Refusal(shutdown, 0), HasSubstr("SHUTDOWN with 1 bytes of text, none expected"));
  EXPECT_THAT(Refusal("", 0), HasSubstr("message of 0 bytes"));
  EXPECT_THAT(Refusal(std::string(kMaxMessageBytes + 1, '\0'), 0),
              HasSubstr("message of 65537 bytes"));
}

TEST(MessageTest, AbsurdNumbersAreRefusedByName) {
  EXPECT_THAT(Refusal(Encode(Ready{{2, 100}, ""}), 0), HasSubstr("READY: protocol version 2"));
  EXPECT_THAT(Refusal(Encode(Ready{{1, 0}, ""}), 0), HasSubstr("READY: pid 0"));
  EXPECT_THAT(Refusal(Encode(Forked{{kWorker, 0x80000000, 0}}), 1),
              HasSubstr("FORKED: pid 2147483648"));
  EXPECT_THAT(Refusal(Encode(ForkFailed{{kWorker, 0, 0}, ""}), 0), HasSubstr("error number 0"));
  EXPECT_THAT(Refusal(Encode(Exited{{kWorker, 1, W_STOPCODE(5), 0, 0, 0, 0, 0, 0, 0}}), 0),
              HasSubstr("wait status"));
  EXPECT_THAT(Refusal(Encode(Exited{{kWorker, 1, 0, 0, -1, 0, 0, 0, 0, 0}}), 0),
              HasSubstr("negative resource usage"));
  EXPECT_THAT(Refusal(Encode(Fork{{kWorker, 2, 0}}), 6), HasSubstr("dedicated 2"));
  EXPECT_THAT(Refusal(Encode(SegmentRequest{0}), 0), HasSubstr("size 0"));
  EXPECT_THAT(Refusal(Encode(SegmentGrant{0, 1}), 1), HasSubstr("segment ID 0"));
  EXPECT_THAT(Refusal(Encode(ValueSegment{1, 0}), 1), HasSubstr("size 0"));
  EXPECT_THAT(Refusal(Encode(SegmentRelease{0}), 0), HasSubstr("segment ID 0"));
}

TEST(MessageTest, TextIsMadeValidUtf8OnBothSides) {
  EXPECT_EQ(std::get<Failed>(*Decode(Encode(Failed{"a\xff"}), 0)).reason, "a\xef\xbf\xbd");
  std::string packet = Encode(Failed{"ab"});
  packet.back() = '\xff';
  EXPECT_EQ(std::get<Failed>(*Decode(packet, 0)).reason, "a\xef\xbf\xbd");
}

TEST(MessageTest, LongTextIsCutToOnePacketAndAListAtALine) {
  const std::string packet = Encode(Failed{std::string(100'000, 'x')});
  EXPECT_EQ(packet.size(), kMaxMessageBytes);
  std::string functions;
  for (int i = 0; i < 10'000; ++i)
    functions += "function_" + std::to_string(i) + "\tdoes something\n";
  const auto ready = std::get<Ready>(*Decode(Encode(Ready{{kProtocolVersion, 1}, functions}), 0));
  EXPECT_LT(ready.functions.size(), kMaxMessageBytes);
  EXPECT_GT(ready.functions.size(), kMaxMessageBytes - 100);
  EXPECT_EQ(ready.functions.back(), '\n');
}

TEST(MessageTest, NamesAreForLogs) {
  EXPECT_EQ(TypeName(static_cast<uint32_t>(MessageType::kForkFailed)), "FORK_FAILED");
  EXPECT_EQ(TypeName(77), "type 77");
}

TEST(MessageTest, RandomDamageNeverCrashesAndWhatIsAcceptedEncodesAgain) {
  std::mt19937 random(5);
  const std::vector<Message> messages = OneOfEach();
  for (int round = 0; round < 50'000; ++round) {
    std::string packet = Encode(messages[random() % messages.size()]);
    for (size_t i = 1 + random() % 4; i > 0; --i)
      packet[random() % packet.size()] = static_cast<char>(random());
    const absl::StatusOr<Message> decoded = Decode(packet, random() % 7);
    if (decoded.ok()) {
      EXPECT_TRUE(Decode(Encode(*decoded), DescriptorCount(*decoded)).ok());
    }
  }
}

}  // namespace
}  // namespace prefork::zygote
