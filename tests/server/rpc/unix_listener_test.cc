#include "server/rpc/unix_listener.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"

namespace prefork::rpc {
namespace {

using ::testing::HasSubstr;

class UnixListenerTest : public ::testing::Test {
 protected:
  UnixListenerTest() {
    char folder[] = "/tmp/prefork-listener-XXXXXX";
    folder_ = mkdtemp(folder);
    path_ = folder_ + "/d.sock";
  }
  ~UnixListenerTest() override { std::filesystem::remove_all(folder_); }

  os::Fd Socket(bool listening) {
    os::Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.data(), path_.size());
    const auto* raw = reinterpret_cast<const sockaddr*>(&address);
    if (listening) {
      EXPECT_EQ(bind(fd.get(), raw, sizeof(address)), 0);
      EXPECT_EQ(listen(fd.get(), 1), 0);
    } else {
      connected_ = connect(fd.get(), raw, sizeof(address)) == 0;
    }
    return fd;
  }

  std::string folder_;
  std::string path_;
  bool connected_ = false;
};

TEST_F(UnixListenerTest, ListensWithTheModeAndLeavesNothingBehind) {
  {
    const auto listener = UnixListener::Create({.path = path_, .mode = 0600, .group = ""});
    ASSERT_TRUE(listener.ok()) << listener.status();
    struct stat info;
    ASSERT_EQ(stat(path_.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600);
    const os::Fd client = Socket(/*listening=*/false);
    EXPECT_TRUE(connected_);
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

TEST_F(UnixListenerTest, MakesTheMissingDirectory) {
  path_ = folder_ + "/new/d.sock";
  EXPECT_TRUE(UnixListener::Create({.path = path_, .mode = 0660, .group = ""}).ok());
}

TEST_F(UnixListenerTest, AStaleSocketIsReplaced) {
  Socket(/*listening=*/true).Reset();  // its file stays
  EXPECT_TRUE(std::filesystem::exists(path_));
  const auto listener = UnixListener::Create({.path = path_, .mode = 0600, .group = ""});
  ASSERT_TRUE(listener.ok()) << listener.status();
  const os::Fd client = Socket(/*listening=*/false);
  EXPECT_TRUE(connected_);
}

TEST_F(UnixListenerTest, ASecondDaemonIsToldWhoAnswers) {
  const auto first = UnixListener::Create({.path = path_, .mode = 0600, .group = ""});
  ASSERT_TRUE(first.ok());
  const auto second = UnixListener::Create({.path = path_, .mode = 0600, .group = ""});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(second.status().message(),
            absl::StrCat("another preforkd (pid ", getpid(), ") answers on ", path_,
                         "; stop it, or choose another path with --socket"));
  const os::Fd client = Socket(/*listening=*/false);
  EXPECT_TRUE(connected_);
}

TEST_F(UnixListenerTest, ALiveSocketWithoutALockIsRespected) {
  const os::Fd other = Socket(/*listening=*/true);
  const auto listener = UnixListener::Create({.path = path_, .mode = 0600, .group = ""});
  EXPECT_EQ(listener.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(std::filesystem::exists(path_));
}

TEST_F(UnixListenerTest, AnythingButASocketIsLeftAlone) {
  std::ofstream(path_) << "precious";
  const auto listener = UnixListener::Create({.path = path_, .mode = 0600, .group = ""});
  EXPECT_EQ(listener.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(listener.status().message()), HasSubstr("is no socket"));
  EXPECT_TRUE(std::filesystem::is_regular_file(path_));
}

TEST_F(UnixListenerTest, ASocketThatReplacedOursIsNotRemoved) {
  auto listener = UnixListener::Create({.path = path_, .mode = 0600, .group = ""});
  ASSERT_TRUE(listener.ok());
  unlink(path_.c_str());
  const os::Fd other = Socket(/*listening=*/true);
  { const UnixListener gone = *std::move(listener); }
  EXPECT_TRUE(std::filesystem::exists(path_));
}

TEST_F(UnixListenerTest, PathsThatTheSystemCannotTakeAreNamed) {
  const auto listener =
      UnixListener::Create({.path = "/tmp/" + std::string(200, 'x'), .mode = 0600, .group = ""});
  EXPECT_EQ(listener.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(listener.status().message()), HasSubstr("205 bytes"));
}

TEST_F(UnixListenerTest, UnknownGroupIsNamed) {
  EXPECT_THAT(
      std::string(UnixListener::Create({.path = path_, .mode = 0660, .group = "no-such-group"})
                      .status()
                      .message()),
      HasSubstr("there is no group 'no-such-group'"));
}

TEST_F(UnixListenerTest, OfManyStartersAtOnceExactlyOneWinsEachTime) {
  constexpr int kStarters = 4;
  for (int round = 0; round < 50; ++round) {
    std::atomic<int> winners{0};
    std::atomic<int> ready{0};
    std::atomic<int> tried{0};
    std::vector<std::thread> starters;
    starters.reserve(kStarters);
    for (int i = 0; i < kStarters; ++i) {
      starters.emplace_back([&] {
        ++ready;
        while (ready < kStarters) std::this_thread::yield();
        const auto listener = UnixListener::Create({.path = path_, .mode = 0600, .group = ""});
        if (listener.ok()) ++winners;
        ++tried;
        while (tried < kStarters) std::this_thread::yield();
      });
    }
    for (std::thread& starter : starters) starter.join();
    EXPECT_EQ(winners, 1);
    EXPECT_TRUE(std::filesystem::is_empty(folder_));
  }
}

}  // namespace
}  // namespace prefork::rpc
