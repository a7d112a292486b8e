#include "client/cpp/segment_channel.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "absl/time/clock.h"
#include "common/os/memfd.h"
#include "common/os/unix_socket.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace prefork::client::internal {
namespace {

using segments::Message;
using ::testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Seconds(20);
constexpr size_t kKiB = 1024;

// The daemon's end of one connection, spoken by hand.
class SegmentChannelTest : public ::testing::Test {
 protected:
  SegmentChannelTest() {
    char folder[] = "/tmp/prefork-channel-XXXXXX";
    folder_ = mkdtemp(folder);
    listening_ = os::Fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    const std::string path = folder_ + "/d.sock.segments";
    std::memcpy(address.sun_path, path.data(), path.size());
    EXPECT_EQ(bind(listening_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(listen(listening_.get(), 8), 0);
  }
  ~SegmentChannelTest() override { std::filesystem::remove_all(folder_); }

  std::string Address() const { return "unix:" + folder_ + "/d.sock"; }
  void Connect() {
    std::thread daemon([this] {
      daemon_ = os::Fd(accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      const timeval patience = {20, 0};
      setsockopt(daemon_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
      Expect<segments::Hello>();
      Send(segments::Welcome{segments::Token{'t', 'o', 'k'}});
    });
    auto channel = SegmentChannel::Connect(Address(), absl::Now() + kPatience);
    daemon.join();
    ASSERT_TRUE(channel.ok()) << channel.status();
    channel_ = *std::move(channel);
  }
  void Send(const Message& message, const std::vector<int>& fds = {}) {
    EXPECT_TRUE(os::SendPacket(daemon_.get(), segments::Encode(message), fds, true).ok());
  }
  template <typename T>
  T Expect() {
    const absl::StatusOr<os::Packet> packet =
        os::ReceivePacket(daemon_.get(), segments::kMaxMessageBytes, /*wait=*/true);
    EXPECT_TRUE(packet.ok()) << packet.status();
    const absl::StatusOr<Message> message = segments::Decode(packet->bytes, packet->fds.size());
    EXPECT_TRUE(message.ok()) << message.status();
    const T* const found = message.ok() ? std::get_if<T>(&*message) : nullptr;
    EXPECT_NE(found, nullptr);
    return found == nullptr ? T() : *found;
  }
  os::Fd Memory(size_t bytes) { return *os::CreateSealedMemfd("test", bytes); }

  std::string folder_;
  os::Fd listening_;
  os::Fd daemon_;
  std::shared_ptr<SegmentChannel> channel_;
};

TEST_F(SegmentChannelTest, AllocatesAndReleases) {
  Connect();
  EXPECT_EQ(channel_->token().substr(0, 3), "tok");
  std::thread daemon([this] {
    const auto wanted = Expect<segments::Allocate>();
    EXPECT_EQ(wanted.size_bytes, 100 * kKiB);
    const os::Fd memory = Memory(128 * kKiB);
    Send(segments::Grant{wanted.request, 5, 0, 128 * kKiB}, {memory.get()});
    EXPECT_EQ(Expect<segments::Release>().segment_id, 5U);
  });
  auto leased = channel_->Allocate(100 * kKiB, absl::Now() + kPatience);
  ASSERT_TRUE(leased.ok()) << leased.status();
  EXPECT_EQ(leased->segment_id, 5U);
  EXPECT_EQ(leased->map.size(), 128 * kKiB);
  leased->map.bytes()[0] = std::byte{1};
  channel_->Release(*std::move(leased));
  daemon.join();
}

TEST_F(SegmentChannelTest, TheDaemonsRefusalIsPassedOn) {
  Connect();
  std::thread daemon([this] {
    const auto wanted = Expect<segments::OpenValue>();
    EXPECT_EQ(wanted.task_id, 9U);
    Send(segments::Denied{wanted.request, absl::NotFoundError("no task 9")});
  });
  EXPECT_EQ(channel_->OpenValue(9, absl::Now() + kPatience).status(),
            absl::NotFoundError("no task 9"));
  daemon.join();
}

TEST_F(SegmentChannelTest, AValueIsThereBeforeItIsAskedFor) {
  Connect();
  const os::Fd memory = Memory(64 * kKiB);
  ASSERT_EQ(pwrite(memory.get(), "value", 5, 64), 5);
  const os::Fd read_only = *os::ReopenReadOnly(memory.get());
  Send(segments::Grant{0, 7, 64, 5}, {read_only.get()});
  const auto value = channel_->TakeValue(7, absl::Now() + kPatience);
  ASSERT_TRUE(value.ok()) << value.status();
  EXPECT_EQ(std::memcmp(value->map.bytes().data() + value->offset, "value", 5), 0);
  EXPECT_EQ(channel_->TakeValue(7, absl::Now()).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(SegmentChannelTest, AValueThatHadNoRoomIsWaitedFor) {
  Connect();
  const os::Fd memory = Memory(64 * kKiB);
  const os::Fd read_only = *os::ReopenReadOnly(memory.get());
  std::thread daemon([&] { Send(segments::Grant{0, 7, 0, 5}, {read_only.get()}); });
  EXPECT_TRUE(channel_->TakeValue(7, absl::Now() + kPatience).ok());
  daemon.join();
}

TEST_F(SegmentChannelTest, ManyThreadsShareTheSocket) {
  Connect();
  constexpr int kThreads = 4;
  constexpr int kEach = 50;
  std::thread daemon([this] {
    const os::Fd memory = Memory(64 * kKiB);
    const os::Fd read_only = *os::ReopenReadOnly(memory.get());
    int released = 0;
    uint64_t next_id = 1;
    while (released < kThreads * kEach) {
      const absl::StatusOr<os::Packet> packet =
          os::ReceivePacket(daemon_.get(), segments::kMaxMessageBytes, /*wait=*/true);
      ASSERT_TRUE(packet.ok() && packet->state == os::Packet::State::kReceived);
      const Message message = *segments::Decode(packet->bytes, 0);
      if (std::holds_alternative<segments::Release>(message)) ++released;
      if (const auto* wanted = std::get_if<segments::Allocate>(&message)) {
        Send(segments::Grant{0, 1000 + next_id, 0, 1}, {read_only.get()});
        Send(segments::Grant{wanted->request, next_id++, 0, 64 * kKiB}, {memory.get()});
      }
    }
  });
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([this] {
      for (int j = 0; j < kEach; ++j) {
        auto leased = channel_->Allocate(1, absl::Now() + kPatience);
        ASSERT_TRUE(leased.ok()) << leased.status();
        EXPECT_TRUE(channel_->TakeValue(1000 + leased->segment_id, absl::Now() + kPatience).ok());
        channel_->Release(*std::move(leased));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  daemon.join();
}

TEST_F(SegmentChannelTest, AnAnswerThatComesTooLateIsReleased) {
  Connect();
  EXPECT_EQ(channel_->Allocate(1, absl::Now()).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  const auto wanted = Expect<segments::Allocate>();
  const os::Fd memory = Memory(64 * kKiB);
  Send(segments::Grant{wanted.request, 5, 0, 64 * kKiB}, {memory.get()});
  EXPECT_FALSE(channel_->TakeValue(1, absl::Now()).ok());  // takes in what has come
  EXPECT_EQ(Expect<segments::Release>().segment_id, 5U);
}

// Neither side gives back what the other may still read.
TEST_F(SegmentChannelTest, WhatWasLeasedBeforeAForkStaysLeasedUntilBothHaveEnded) {
  Connect();
  const os::Fd memory = Memory(64 * kKiB);
  Send(segments::Grant{0, 7, 0, 64 * kKiB}, {memory.get()});
  Send(segments::Grant{0, 8, 0, 64 * kKiB}, {memory.get()});
  auto before = channel_->TakeValue(7, absl::Now() + kPatience);
  ASSERT_TRUE(before.ok()) << before.status();

  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const bool readable = std::as_const(before->map).bytes()[0] == std::byte{0};
    const bool left_alone = !channel_->alive();
    channel_->Release(*std::move(before));
    _exit(readable && left_alone ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);

  EXPECT_TRUE(channel_->alive());
  channel_->Release(*std::move(before));
  auto after = channel_->TakeValue(8, absl::Now() + kPatience);
  ASSERT_TRUE(after.ok()) << after.status();
  channel_->Release(*std::move(after));
  EXPECT_EQ(Expect<segments::Release>().segment_id, 8U) << "the first thing that is said";
  channel_.reset();
  const absl::StatusOr<os::Packet> end =
      os::ReceivePacket(daemon_.get(), segments::kMaxMessageBytes, /*wait=*/true);
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(end->state, os::Packet::State::kClosed);
}

TEST_F(SegmentChannelTest, TheEndOfTheDaemonIsSeenWithoutAWait) {
  Connect();
  EXPECT_TRUE(channel_->alive());
  daemon_.Reset();
  EXPECT_FALSE(channel_->alive());
}

TEST_F(SegmentChannelTest, TheEndOfTheDaemonEndsEveryWait) {
  Connect();
  std::thread daemon([this] {
    Expect<segments::Allocate>();
    daemon_.Reset();
  });
  EXPECT_EQ(channel_->Allocate(1, absl::InfiniteFuture()).status().code(),
            absl::StatusCode::kUnavailable);
  daemon.join();
  EXPECT_FALSE(channel_->alive());
  EXPECT_EQ(channel_->TakeValue(1, absl::InfiniteFuture()).status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(channel_->Allocate(1, absl::InfiniteFuture()).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(SegmentChannelTest, ADaemonThatTalksNonsenseIsLeft) {
  Connect();
  EXPECT_TRUE(os::SendPacket(daemon_.get(), "nonsense", {}, true).ok());
  EXPECT_EQ(channel_->TakeValue(1, absl::InfiniteFuture()).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(SegmentChannelTest, WithoutASocketThereIsNoChannel) {
  const absl::Status status =
      SegmentChannel::Connect("unix:" + folder_ + "/other.sock", absl::Now() + kPatience).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("other.sock.segments"));
}

}  // namespace
}  // namespace prefork::client::internal
