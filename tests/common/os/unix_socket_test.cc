#include "common/os/unix_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <thread>

#include "common/os/eventfd.h"
#include "common/os/pipe.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/os/open_fds.h"

namespace prefork::os {
namespace {

using ::testing::HasSubstr;

constexpr size_t kMaxBytes = 1024;

class UnixSocketTest : public ::testing::Test {
 protected:
  UnixSocketTest() : fds_before_(CountOpenFds()) {
    std::tie(left_, right_) = *CreateSeqpacketPair();
  }
  ~UnixSocketTest() override {
    left_.Reset();
    right_.Reset();
    EXPECT_EQ(CountOpenFds(), fds_before_) << "descriptors leaked";
  }
  // Sends more descriptors than SendPacket allows, as a hostile peer may.
  void SendRaw(const std::string& bytes, const std::vector<int>& fds) {
    std::vector<char> control(CMSG_SPACE(fds.size() * sizeof(int)));
    iovec data = {const_cast<char*>(bytes.data()), bytes.size()};
    msghdr message = {};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    memcpy(CMSG_DATA(part), fds.data(), fds.size() * sizeof(int));
    ASSERT_EQ(sendmsg(left_.get(), &message, 0), static_cast<ssize_t>(bytes.size()));
  }

  const int fds_before_;
  Fd left_, right_;
};

TEST_F(UnixSocketTest, PacketsKeepTheirBordersAndOrder) {
  ASSERT_TRUE(SendPacket(left_.get(), "one", {}, false).ok());
  ASSERT_TRUE(SendPacket(left_.get(), std::string("t\0o", 3), {}, false).ok());
  EXPECT_EQ(ReceivePacket(right_.get(), kMaxBytes, false)->bytes, "one");
  EXPECT_EQ(ReceivePacket(right_.get(), kMaxBytes, false)->bytes, std::string("t\0o", 3));
  EXPECT_EQ(ReceivePacket(right_.get(), kMaxBytes, false)->state, Packet::State::kWouldBlock);
}

TEST_F(UnixSocketTest, DescriptorsArriveInOrderUsableAndClosedOnExec) {
  Pipe pipe = *CreatePipe();
  const Fd event = *CreateEventfd();
  ASSERT_TRUE(SendPacket(left_.get(), "x", {pipe.write_end.get(), event.get()}, false).ok());
  absl::StatusOr<Packet> packet = ReceivePacket(right_.get(), kMaxBytes, false);
  ASSERT_TRUE(packet.ok()) << packet.status();
  ASSERT_EQ(packet->fds.size(), 2u);
  for (const Fd& fd : packet->fds) EXPECT_EQ(fcntl(fd.get(), F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(write(packet->fds[0].get(), "hi", 2), 2);
  char buffer[2];
  EXPECT_EQ(read(pipe.read_end.get(), buffer, 2), 2);
}

TEST_F(UnixSocketTest, LongPacketIsDataLossAndItsDescriptorsAreClosed) {
  const Fd event = *CreateEventfd();
  ASSERT_TRUE(
      SendPacket(left_.get(), std::string(kMaxBytes + 1, 'x'), {event.get(), event.get()}, false)
          .ok());
  const int before = CountOpenFds();
  const absl::Status status = ReceivePacket(right_.get(), kMaxBytes, false).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("more than 1024 bytes"));
  EXPECT_EQ(CountOpenFds(), before);
}

TEST_F(UnixSocketTest, TooManyDescriptorsAreDataLossAndClosed) {
  const Fd event = *CreateEventfd();
  SendRaw("x", std::vector<int>(100, event.get()));
  const int before = CountOpenFds();
  const absl::Status status = ReceivePacket(right_.get(), kMaxBytes, false).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("more than 16 descriptors"));
  EXPECT_EQ(CountOpenFds(), before);
}

TEST_F(UnixSocketTest, NoRoomForDescriptorsIsToldAndLeaksNothing) {
  const Fd event = *CreateEventfd();
  ASSERT_TRUE(SendPacket(left_.get(), "x", {event.get(), event.get(), event.get()}, false).ok());
  const FdShortage shortage(1);
  const int before = CountOpenFds();
  const absl::StatusOr<Packet> packet = ReceivePacket(right_.get(), kMaxBytes, false);
  ASSERT_TRUE(packet.ok()) << packet.status();
  EXPECT_EQ(packet->bytes, "x");
  EXPECT_TRUE(packet->fds_lost);
  EXPECT_TRUE(packet->fds.empty());
  EXPECT_EQ(CountOpenFds(), before);
}

TEST_F(UnixSocketTest, ClosedPeerIsToldApartFromSilence) {
  ASSERT_TRUE(SendPacket(left_.get(), "last words", {}, false).ok());
  left_.Reset();
  EXPECT_EQ(ReceivePacket(right_.get(), kMaxBytes, true)->bytes, "last words");
  EXPECT_EQ(ReceivePacket(right_.get(), kMaxBytes, true)->state, Packet::State::kClosed);
  EXPECT_EQ(SendPacket(right_.get(), "x", {}, false).code(), absl::StatusCode::kAborted);
}

TEST_F(UnixSocketTest, PeerThatClosedWithUnreadPacketsIsClosed) {
  ASSERT_TRUE(SendPacket(right_.get(), "never read", {}, false).ok());
  left_.Reset();
  EXPECT_EQ(ReceivePacket(right_.get(), kMaxBytes, true)->state, Packet::State::kClosed);
}

TEST_F(UnixSocketTest, PeerThatDoesNotReadMakesSendUnavailableUnlessItMayWait) {
  const std::string packet(1000, 'x');
  int sent = 0;
  absl::Status status;
  while ((status = SendPacket(left_.get(), packet, {}, false)).ok()) ++sent;
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  std::thread reader([&] {
    for (int i = 0; i <= sent; ++i)
      EXPECT_EQ(ReceivePacket(right_.get(), kMaxBytes, true)->bytes, packet);
  });
  EXPECT_TRUE(SendPacket(left_.get(), packet, {}, true).ok());
  reader.join();
}

}  // namespace
}  // namespace prefork::os
