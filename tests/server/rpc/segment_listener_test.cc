#include "server/rpc/segment_listener.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/os/memfd.h"
#include "common/os/unix_socket.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/rpc/unix_listener.h"
#include "tests/common/os/wait_until.h"
#include "tests/server/rpc/fake_engine.h"

namespace prefork::rpc {
namespace {

using segments::Message;
using ::testing::HasSubstr;

constexpr size_t kKiB = 1024;

// A client's end of the segment socket, without the client library.
class Peer {
 public:
  explicit Peer(const std::string& path)
      : socket_(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    EXPECT_EQ(connect(fd(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    const timeval patience = {20, 0};
    setsockopt(fd(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  }

  int fd() const { return socket_.get(); }
  void Close() { socket_.Reset(); }
  void SendBytes(const std::string& bytes) {
    EXPECT_TRUE(os::SendPacket(fd(), bytes, {}, /*wait=*/true).ok());
  }
  void Send(const Message& message) { SendBytes(segments::Encode(message)); }
  // The next message; nothing when the daemon has closed the connection.
  std::optional<Message> Next() {
    absl::StatusOr<os::Packet> packet =
        os::ReceivePacket(fd(), segments::kMaxMessageBytes, /*wait=*/true);
    if (!packet.ok() || packet->state != os::Packet::State::kReceived) return std::nullopt;
    fds_ = std::move(packet->fds);
    absl::StatusOr<Message> message = segments::Decode(packet->bytes, fds_.size());
    EXPECT_TRUE(message.ok()) << message.status();
    return message.ok() ? std::optional<Message>(*message) : std::nullopt;
  }
  template <typename T>
  T Expect() {
    const std::optional<Message> message = Next();
    const T* const found = message ? std::get_if<T>(&*message) : nullptr;
    EXPECT_NE(found, nullptr);
    return found == nullptr ? T() : *found;
  }
  std::string SayHello() {
    Send(segments::Hello{});
    const auto welcome = Expect<segments::Welcome>();
    return {welcome.token.data(), welcome.token.size()};
  }
  const std::vector<os::Fd>& fds() const { return fds_; }

 private:
  os::Fd socket_;
  std::vector<os::Fd> fds_;
};

class SegmentListenerTest : public ::testing::Test {
 protected:
  SegmentListenerTest()
      : null_(open("/dev/null", O_WRONLY | O_CLOEXEC)),
        log_(null_.get(), log::Format::kJournal, log::Level::kDebug),
        leases_({.max_segments = 100, .max_bytes = 1024 * kKiB, .max_total_bytes = 2048 * kKiB}) {
    char folder[] = "/tmp/prefork-segments-XXXXXX";
    folder_ = mkdtemp(folder);
    socket_.emplace(*UnixListener::CreateBeside({.path = Path(), .type = SOCK_SEQPACKET}));
  }
  ~SegmentListenerTest() override {
    engine_.Stop();
    listener_->Stop();
    listener_.reset();
    EXPECT_EQ(leases_.holders(), 0U);
    socket_.reset();
    EXPECT_FALSE(std::filesystem::exists(Path()));
    std::filesystem::remove_all(folder_);
  }

  std::string Path() const { return folder_ + "/d.sock.segments"; }
  void SetUp() override {
    auto listener = SegmentListener::Start({.socket = socket_->fd(),
                                            .policy = *AccessPolicy::Create(getuid(), {}),
                                            .engine = &engine_,
                                            .leases = &leases_,
                                            .log = &log_});
    ASSERT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
  }
  // A finished task with such a value.
  engine::TaskId Finished(size_t value_bytes) {
    engine::TaskId id = 0;
    engine_.RunOnThread([&] {
      engine::TaskSubmission submission;
      submission.options = std::make_shared<engine::TaskOptions>();
      id = engine_.Submit({.uid = getuid(), .privileged = true}, std::move(submission))->first;
      engine_.Finish(id, scheduler::TaskState::kSucceeded, std::string(value_bytes, 'v'));
    });
    return id;
  }
  bool LeasedBecomes(size_t bytes) {
    return os::WaitUntil([&] { return leases_.leased_bytes() == bytes; });
  }

  os::Fd null_;
  log::Logger log_;
  FakeEngine engine_;
  engine::SegmentLeases leases_;
  std::string folder_;
  std::optional<UnixListener> socket_;
  std::unique_ptr<SegmentListener> listener_;
};

TEST_F(SegmentListenerTest, GivesRoomThatCanBeWrittenAndTakesItBack) {
  Peer peer(Path());
  const std::string token = peer.SayHello();
  peer.Send(segments::Allocate{7, 100 * kKiB});
  const auto grant = peer.Expect<segments::Grant>();
  EXPECT_EQ(grant.request, 7U);
  EXPECT_EQ(grant.offset, 0U);
  EXPECT_GE(grant.size_bytes, 100 * kKiB);
  ASSERT_EQ(peer.fds().size(), 1U);
  EXPECT_EQ(*os::CheckSealedMemfd(peer.fds()[0].get()), grant.size_bytes);
  EXPECT_EQ(pwrite(peer.fds()[0].get(), "x", 1, 5), 1);
  const absl::StatusOr<shm::SegmentRef> found = leases_.Find(token, getuid(), grant.segment_id);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(std::as_const(**found).bytes()[5], std::byte{'x'}) << "the same memory";
  peer.Send(segments::Release{grant.segment_id});
  EXPECT_TRUE(LeasedBecomes(0));
}

TEST_F(SegmentListenerTest, TheEndOfTheConnectionEndsItsLeases) {
  Peer peer(Path());
  Peer other(Path());
  peer.SayHello();
  other.SayHello();
  for (Peer* each : {&peer, &peer, &other}) {
    each->Send(segments::Allocate{1, 64 * kKiB});
    each->Expect<segments::Grant>();
  }
  EXPECT_EQ(leases_.leased_bytes(), 192 * kKiB);
  peer.Close();
  EXPECT_TRUE(LeasedBecomes(64 * kKiB));
  EXPECT_EQ(leases_.holders(), 1U);
}

TEST_F(SegmentListenerTest, WhatIsOverABoundIsDeniedInWords) {
  Peer peer(Path());
  peer.SayHello();
  peer.Send(segments::Allocate{1, 2000 * kKiB});
  auto denied = peer.Expect<segments::Denied>();
  EXPECT_EQ(denied.request, 1U);
  EXPECT_EQ(denied.why.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(denied.why.message(), HasSubstr("limits.client_segment_bytes"));
  peer.Send(segments::Allocate{2, UINT64_MAX});
  denied = peer.Expect<segments::Denied>();
  EXPECT_EQ(denied.why.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(denied.why.message(), HasSubstr("limits.max_payload"));
  peer.Send(segments::Allocate{3, 64 * kKiB});
  EXPECT_EQ(peer.Expect<segments::Grant>().request, 3U) << "the connection goes on";
}

TEST_F(SegmentListenerTest, OpensTheValueOfAFinishedTaskForReadingOnly) {
  const engine::TaskId id = Finished(100 * kKiB);
  Peer peer(Path());
  peer.SayHello();
  peer.Send(segments::OpenValue{1, id});
  const auto grant = peer.Expect<segments::Grant>();
  EXPECT_EQ(grant.size_bytes, 100 * kKiB);
  ASSERT_EQ(peer.fds().size(), 1U);
  char byte = 0;
  EXPECT_EQ(pread(peer.fds()[0].get(), &byte, 1, 100 * kKiB - 1), 1);
  EXPECT_EQ(byte, 'v');
  EXPECT_LT(pwrite(peer.fds()[0].get(), "x", 1, 0), 0);
}

TEST_F(SegmentListenerTest, AValueThatIsNotThereIsDenied) {
  const engine::TaskId small = Finished(5);
  Peer peer(Path());
  peer.SayHello();
  peer.Send(segments::OpenValue{1, small});
  EXPECT_THAT(peer.Expect<segments::Denied>().why.message(), HasSubstr("ask ReadValue"));
  peer.Send(segments::OpenValue{2, 4711});
  EXPECT_EQ(peer.Expect<segments::Denied>().why.code(), absl::StatusCode::kNotFound);
}

TEST_F(SegmentListenerTest, ManyRequestsAtOnceAreAllAnswered) {
  const engine::TaskId id = Finished(5);
  Peer peer(Path());
  peer.SayHello();
  for (uint64_t i = 1; i <= 100; ++i) peer.Send(segments::OpenValue{i, id});
  for (uint64_t i = 1; i <= 100; ++i) EXPECT_EQ(peer.Expect<segments::Denied>().request, i);
}

TEST_F(SegmentListenerTest, SendsAValueUnasked) {
  Peer peer(Path());
  const std::string token = peer.SayHello();
  const engine::Bytes value = *engine_.Pack(std::string(100 * kKiB, 'v'), getuid());
  const uint64_t id = listener_->Send(token, getuid(), value);
  EXPECT_EQ(id, value.segment()->id());
  const auto grant = peer.Expect<segments::Grant>();
  EXPECT_EQ(grant.request, 0U);
  EXPECT_EQ(grant.segment_id, id);
  EXPECT_EQ(grant.size_bytes, 100 * kKiB);

  EXPECT_EQ(listener_->Send("nobody's", getuid(), value), 0U);
  EXPECT_EQ(listener_->Send(token, getuid() + 1, value), 0U);
  EXPECT_EQ(listener_->Send(token, getuid(), engine::Bytes("inline")), 0U);
  const engine::Bytes large = *engine_.Pack(std::string(1500 * kKiB, 'v'), getuid());
  EXPECT_EQ(listener_->Send(token, getuid(), large), 0U) << "more than it may have";
}

TEST_F(SegmentListenerTest, WhoDoesNotReadIsSentOnlySoMany) {
  Peer peer(Path());
  const std::string token = peer.SayHello();
  const engine::Bytes value = *engine_.Pack(std::string(100 * kKiB, 'v'), getuid());
  size_t sent = 0;
  while (sent < 100'000 && listener_->Send(token, getuid(), value) != 0) ++sent;
  EXPECT_GT(sent, 10U);
  EXPECT_LT(sent, 100'000U);
  for (size_t i = 0; i < sent; ++i) peer.Expect<segments::Grant>();
  EXPECT_NE(listener_->Send(token, getuid(), value), 0U) << "reading helps";
}

TEST_F(SegmentListenerTest, NonsenseEndsTheConnectionAndItsLeases) {
  for (const std::string& nonsense :
       {std::string("x"), std::string(1000, '\xff'), std::string(5000, 'x'),
        segments::Encode(segments::Hello{}), segments::Encode(segments::Welcome{}),
        segments::Encode(segments::Denied{1, absl::InternalError("no, you")})}) {
    Peer peer(Path());
    peer.SayHello();
    peer.Send(segments::Allocate{1, 64 * kKiB});
    peer.Expect<segments::Grant>();
    peer.SendBytes(nonsense);
    EXPECT_FALSE(peer.Next().has_value());
    EXPECT_TRUE(LeasedBecomes(0));
  }
  Peer rude(Path());
  rude.Send(segments::Allocate{1, 64 * kKiB});
  EXPECT_FALSE(rude.Next().has_value()) << "a request before HELLO";
}

TEST_F(SegmentListenerTest, WhatIsReleasedTwiceOrIsSomebodyElsesDoesNoHarm) {
  Peer peer(Path());
  Peer other(Path());
  peer.SayHello();
  other.SayHello();
  peer.Send(segments::Allocate{1, 64 * kKiB});
  const uint64_t id = peer.Expect<segments::Grant>().segment_id;
  other.Send(segments::Release{id});
  other.Send(segments::Release{4711});
  other.Send(segments::Allocate{1, 64 * kKiB});
  other.Expect<segments::Grant>();
  EXPECT_EQ(leases_.leased_bytes(), 128 * kKiB) << "the owner has its lease still";
  peer.Send(segments::Release{id});
  peer.Send(segments::Release{id});
  EXPECT_TRUE(LeasedBecomes(64 * kKiB));
}

}  // namespace
}  // namespace prefork::rpc
