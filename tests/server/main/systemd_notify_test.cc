#include "server/main/systemd_notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/os/fd.h"
#include "gtest/gtest.h"

namespace prefork::main {
namespace {

TEST(SystemdNotifyTest, SendsOneDatagramToAnAbstractSocket) {
  const std::string name = absl::StrCat("@prefork-notify-test-", getpid());
  const os::Fd manager(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, name.data() + 1, name.size() - 1);
  ASSERT_EQ(bind(manager.get(), reinterpret_cast<sockaddr*>(&address),
                 static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size())),
            0);
  setenv("NOTIFY_SOCKET", name.c_str(), 1);
  const SystemdNotify notify = SystemdNotify::FromEnvironment();
  EXPECT_EQ(getenv("NOTIFY_SOCKET"), nullptr) << "tasks would speak for the daemon";
  notify.Send("READY=1\nSTATUS=ready");
  char text[64] = {};
  const ssize_t size = recv(manager.get(), text, sizeof(text), MSG_DONTWAIT);
  EXPECT_EQ(std::string(text, size > 0 ? size : 0), "READY=1\nSTATUS=ready");
}

TEST(SystemdNotifyTest, NobodyListeningIsNoError) {
  unsetenv("NOTIFY_SOCKET");
  SystemdNotify::FromEnvironment().Send("READY=1");
  setenv("NOTIFY_SOCKET", "/no/such/socket", 1);
  SystemdNotify::FromEnvironment().Send("READY=1");
}

TEST(SystemdNotifyTest, TheWatchdogIsOursOnlyWithOurPid) {
  setenv("WATCHDOG_USEC", "2000000", 1);
  setenv("WATCHDOG_PID", absl::StrCat(getpid()).c_str(), 1);
  EXPECT_EQ(SystemdNotify::FromEnvironment().watchdog(), absl::Seconds(2));
  setenv("WATCHDOG_USEC", "2000000", 1);
  setenv("WATCHDOG_PID", "1", 1);
  EXPECT_EQ(SystemdNotify::FromEnvironment().watchdog(), std::nullopt);
  setenv("WATCHDOG_USEC", "nonsense", 1);
  EXPECT_EQ(SystemdNotify::FromEnvironment().watchdog(), std::nullopt);
}

}  // namespace
}  // namespace prefork::main
