#include "server/rpc/acceptor.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "gtest/gtest.h"
#include "server/rpc/unix_listener.h"

namespace prefork::rpc {
namespace {

class AcceptorTest : public ::testing::Test {
 protected:
  AcceptorTest()
      : null_(open("/dev/null", O_WRONLY | O_CLOEXEC)),
        log_(null_.get(), log::Format::kJournal, log::Level::kDebug) {
    char folder[] = "/tmp/prefork-acceptor-XXXXXX";
    folder_ = mkdtemp(folder);
    listener_.emplace(*UnixListener::Create({.path = Path(), .mode = 0600, .group = ""}));
  }
  ~AcceptorTest() override {
    acceptor_.reset();
    listener_.reset();
    std::filesystem::remove_all(folder_);
  }

  std::string Path() const { return folder_ + "/d.sock"; }
  void Start(const AccessPolicy& policy) {
    auto acceptor = Acceptor::Start({.sockets = {listener_->fd()},
                                     .policy = policy,
                                     .peers = &peers_,
                                     .log = &log_,
                                     .connection = [this](os::Fd fd) {
                                       absl::MutexLock lock(&mutex_);
                                       accepted_.push_back(std::move(fd));
                                     }});
    ASSERT_TRUE(acceptor.ok()) << acceptor.status();
    acceptor_ = *std::move(acceptor);
  }
  os::Fd Connect() {
    os::Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, Path().data(), Path().size());
    EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    return fd;
  }
  int WaitForAccepted(size_t count) {
    absl::MutexLock lock(&mutex_);
    const auto enough = [&] { return accepted_.size() >= count; };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&enough), absl::Seconds(20)));
    return accepted_.size() >= count ? accepted_[count - 1].get() : -1;
  }

  const os::Fd null_;
  log::Logger log_;
  std::string folder_;
  std::optional<UnixListener> listener_;
  PeerRegistry peers_;
  absl::Mutex mutex_;
  std::vector<os::Fd> accepted_;
  std::unique_ptr<Acceptor> acceptor_;
};

TEST_F(AcceptorTest, RegistersThePeerTheKernelNames) {
  Start(*AccessPolicy::Create(getuid(), {}));
  const os::Fd client = Connect();
  const int fd = WaitForAccepted(1);
  const auto caller = peers_.Find(absl::StrCat("fd:", fd));
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_EQ(caller->uid, getuid());
  EXPECT_TRUE(caller->privileged);
}

TEST_F(AcceptorTest, ANumberIsNotGivenOutAgainAtOnce) {
  Start(*AccessPolicy::Create(getuid(), {}));
  const os::Fd first_client = Connect();
  const int first = WaitForAccepted(1);
  {
    absl::MutexLock lock(&mutex_);
    accepted_[0].Reset();
  }
  const os::Fd second_client = Connect();
  EXPECT_NE(WaitForAccepted(2), first);
}

TEST_F(AcceptorTest, AStrangersConnectionIsClosed) {
  // The list holds somebody else, and the daemon is somebody else's: root alone would be let in.
  const auto policy = AccessPolicy::Create(getuid() + 1, {absl::StrCat(getuid() + 2)});
  if (getuid() == 0) {
    EXPECT_TRUE(policy->Admit(0)->privileged);
    EXPECT_FALSE(policy->Admit(1000).has_value());
    return;
  }
  Start(*policy);
  const os::Fd client = Connect();
  char byte;
  EXPECT_EQ(read(client.get(), &byte, 1), 0);
}

TEST(AccessPolicyTest, ListedUsersAreAdmittedWithoutPrivilege) {
  const auto policy = AccessPolicy::Create(1000, {"nobody", "1234"});
  ASSERT_TRUE(policy.ok()) << policy.status();
  EXPECT_TRUE(policy->Admit(1000)->privileged);
  EXPECT_TRUE(policy->Admit(0)->privileged);
  EXPECT_FALSE(policy->Admit(1234)->privileged);
  EXPECT_FALSE(policy->Admit(65534)->privileged);
  EXPECT_FALSE(policy->Admit(1001).has_value());
}

TEST(AccessPolicyTest, AnEmptyListLeavesItToTheSocketsMode) {
  const auto policy = AccessPolicy::Create(1000, {});
  ASSERT_TRUE(policy->Admit(4711).has_value());
  EXPECT_FALSE(policy->Admit(4711)->privileged);
}

TEST(AccessPolicyTest, AnUnknownUserIsNamed) {
  EXPECT_EQ(AccessPolicy::Create(1000, {"no-such-user"}).status().message(),
            "daemon.allow_users: there is no user 'no-such-user' on this system");
}

TEST(PeerRegistryTest, OnlyRegisteredPeersAreKnown) {
  PeerRegistry peers;
  peers.Register(7, {.uid = 1, .privileged = false});
  EXPECT_EQ(peers.Find("fd:7")->uid, 1);
  peers.Register(7, {.uid = 2, .privileged = true});
  EXPECT_EQ(peers.Find("fd:7")->uid, 2);
  EXPECT_FALSE(peers.Find("ipv4:1.2.3.4:5")->privileged);
  for (const char* peer : {"fd:8", "fd:", "fd:x", "unix:/a", ""}) {
    EXPECT_EQ(peers.Find(peer).status().code(), absl::StatusCode::kUnauthenticated) << peer;
  }
}

}  // namespace
}  // namespace prefork::rpc
