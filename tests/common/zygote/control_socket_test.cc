#include "common/zygote/control_socket.h"

#include <string>
#include <vector>

#include "common/os/eventfd.h"
#include "common/os/unix_socket.h"
#include "gtest/gtest.h"
#include "tests/common/os/open_fds.h"

namespace prefork::zygote {
namespace {

class ControlSocketTest : public ::testing::Test {
 protected:
  ControlSocketTest() : fds_before_(os::CountOpenFds()) {
    std::tie(daemon_, zygote_) = *ControlSocket::CreatePair();
  }
  ~ControlSocketTest() override {
    daemon_.Close();
    zygote_.Close();
    EXPECT_EQ(os::CountOpenFds(), fds_before_) << "descriptors leaked";
  }
  const int fds_before_;
  ControlSocket daemon_, zygote_;
};

TEST_F(ControlSocketTest, MessageArrivesWithItsDescriptors) {
  const os::Fd event = *os::CreateEventfd();
  const std::vector<int> fds(kForkDescriptorCount, event.get());
  ASSERT_TRUE(daemon_.Send(Fork{{{1, 2}, 0, 0}}, fds).ok());
  auto received = zygote_.Receive(true);
  ASSERT_TRUE(received.ok() && received->has_value()) << received.status();
  EXPECT_EQ(std::get<Fork>((*received)->message).body.worker.generation, 2u);
  EXPECT_EQ((*received)->fds.size(), size_t{kForkDescriptorCount});
}

TEST_F(ControlSocketTest, SilenceIsNothingAndTheEndIsClosed) {
  EXPECT_FALSE(daemon_.Receive(false)->has_value());
  ASSERT_TRUE(zygote_.Send(Failed{"last words"}).ok());
  zygote_.Close();
  EXPECT_EQ(std::get<Failed>((*daemon_.Receive(false))->message).reason, "last words");
  EXPECT_TRUE(IsClosed(daemon_.Receive(false).status()));
  EXPECT_EQ(daemon_.Send(Shutdown{}).code(), absl::StatusCode::kAborted);
}

TEST_F(ControlSocketTest, NonsenseIsRefusedItsDescriptorsAreClosedAndTheNextMessageIsRead) {
  const os::Fd event = *os::CreateEventfd();
  ASSERT_TRUE(os::SendPacket(zygote_.fd(), "nonsense", {event.get(), event.get()}, false).ok());
  ASSERT_TRUE(os::SendPacket(zygote_.fd(), Encode(Shutdown{}), {event.get()}, false).ok());
  ASSERT_TRUE(zygote_.Send(WorkerReady{{{1, 2}}}).ok());
  const int before = os::CountOpenFds();
  EXPECT_EQ(daemon_.Receive(false).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(daemon_.Receive(false).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(os::CountOpenFds(), before);
  EXPECT_TRUE(std::holds_alternative<WorkerReady>((*daemon_.Receive(false))->message));
}

TEST_F(ControlSocketTest, AForkWithoutRoomForItsDescriptorsCanBeRefused) {
  const os::Fd event = *os::CreateEventfd();
  ASSERT_TRUE(
      daemon_.Send(Fork{{{1, 2}, 0, 0}}, std::vector<int>(kForkDescriptorCount, event.get())).ok());
  const os::FdShortage shortage(1);
  const auto received = zygote_.Receive(false);
  ASSERT_TRUE(received.ok() && received->has_value()) << received.status();
  EXPECT_EQ(std::get<Fork>((*received)->message).body.worker.index, 1u);
  EXPECT_TRUE((*received)->fds.empty());
}

TEST_F(ControlSocketTest, NoRoomForAnotherDescriptorIsNamed) {
  const os::Fd event = *os::CreateEventfd();
  ASSERT_TRUE(zygote_.Send(Forked{{{1, 2}, 77, 0}}, {event.get()}).ok());
  const os::FdShortage shortage(0);
  const absl::Status status = daemon_.Receive(false).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(std::string(status.message()).find("LimitNOFILE"), std::string::npos) << status;
}

TEST_F(ControlSocketTest, PeerThatDoesNotReadMakesSendUnavailable) {
  absl::Status status;
  for (int i = 0; i < 100'000 && status.ok(); ++i) status = daemon_.Send(Shutdown{});
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
}

}  // namespace
}  // namespace prefork::zygote
