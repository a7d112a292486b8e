#include "server/pool/orphan_reaper.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "common/os/clock.h"
#include "common/os/pipe.h"
#include "common/os/process_stats.h"
#include "common/os/process_tree.h"

namespace prefork::pool {
namespace {

constexpr absl::Duration kBound = absl::Seconds(10);

class OrphanReaperTest : public ::testing::Test {
 protected:
  OrphanReaperTest()
      : loop(*os::EventLoop::Create(os::Clock::System())),
        reaper(*OrphanReaper::Create(loop.get())) {}

  // A child that forks `depth` generations below it; the last ones live until they are killed.
  // Returns when all of them run.
  static pid_t ForkTree(int depth) {
    auto pipe = os::CreatePipe();
    const pid_t pid = fork();
    if (pid == 0) {
      for (int i = 0; i < depth && fork() == 0; ++i) setsid();
      if (write(pipe->write_end.get(), "x", 1) != 1) _exit(1);
      for (;;) pause();
    }
    char ready[16];
    for (int running = 0; running < depth + 1;) {
      const ssize_t count = read(pipe->read_end.get(), ready, sizeof(ready));
      if (count <= 0) break;
      running += static_cast<int>(count);
    }
    return pid;
  }

  bool RunUntil(const std::function<bool()>& condition) {
    const int64_t end_ns = os::Clock::System()->MonotonicNs() + absl::ToInt64Nanoseconds(kBound);
    while (!condition()) {
      if (os::Clock::System()->MonotonicNs() > end_ns) return false;
      loop->RunOnce(5'000'000);
    }
    return true;
  }

  bool Clear() {
    bool cleared = false;
    reaper->Clear(kBound, [&](const std::vector<pid_t>& survivors) {
      EXPECT_TRUE(survivors.empty());
      cleared = true;
    });
    return RunUntil([&] { return cleared; });
  }

  std::unique_ptr<os::EventLoop> loop;
  std::unique_ptr<OrphanReaper> reaper;
};

TEST_F(OrphanReaperTest, MakesThisProcessASubreaper) {
  int enabled = 0;
  ASSERT_EQ(prctl(PR_GET_CHILD_SUBREAPER, &enabled, 0, 0, 0), 0);
  EXPECT_EQ(enabled, 1);
}

TEST_F(OrphanReaperTest, WithoutOrphansItIsClearAtOnce) {
  bool cleared = false;
  reaper->Clear(kBound, [&](const std::vector<pid_t>&) { cleared = true; });
  EXPECT_TRUE(cleared);
}

TEST_F(OrphanReaperTest, KillsAndReapsATreeOfOrphans) {
  ForkTree(/*depth=*/3);
  EXPECT_TRUE(Clear());
  EXPECT_TRUE(os::ListChildren(getpid()).empty());
}

TEST_F(OrphanReaperTest, SparesOwnedChildrenAndDoesNotStealTheirStatus) {
  const pid_t owned = fork();
  if (owned == 0) {
    pause();
    _exit(1);
  }
  reaper->Own(owned);
  ForkTree(/*depth=*/0);
  ASSERT_TRUE(Clear());
  EXPECT_EQ(os::ListChildren(getpid()), std::vector<pid_t>{owned});
  ASSERT_EQ(kill(owned, SIGTERM), 0);
  ASSERT_TRUE(RunUntil([&] { return os::ReadProcessStats(owned)->state == 'Z'; }));
  loop->RunOnce(0);
  int status = 0;
  ASSERT_EQ(waitpid(owned, &status, 0), owned);
  EXPECT_EQ(WTERMSIG(status), SIGTERM);
  reaper->Disown(owned);
}

TEST_F(OrphanReaperTest, AdoptsAndKillsWhatADeadOwnedChildLeavesBehind) {
  auto pipe = os::CreatePipe();
  const pid_t owned = fork();
  if (owned == 0) {
    const pid_t grandchild = fork();
    if (grandchild == 0) {
      for (;;) pause();
    }
    if (write(pipe->write_end.get(), &grandchild, sizeof(grandchild)) != sizeof(grandchild))
      _exit(1);
    _exit(0);
  }
  reaper->Own(owned);
  pid_t grandchild = 0;
  ASSERT_EQ(read(pipe->read_end.get(), &grandchild, sizeof(grandchild)),
            static_cast<ssize_t>(sizeof(grandchild)));
  ASSERT_TRUE(RunUntil([&] { return os::ReadProcessStats(owned)->state == 'Z'; }));
  // Its owner has not looked yet, and may know the grandchild: hands off.
  bool cleared = false;
  reaper->Clear(kBound, [&](const std::vector<pid_t>&) { cleared = true; });
  loop->RunOnce(0);
  EXPECT_EQ(kill(grandchild, 0), 0);
  EXPECT_FALSE(cleared);
  ASSERT_EQ(waitpid(owned, nullptr, 0), owned);
  reaper->Disown(owned);
  EXPECT_TRUE(RunUntil([&] { return cleared; }));
  EXPECT_EQ(kill(grandchild, 0), -1);
}

TEST_F(OrphanReaperTest, ReapsOrphansThatEndByThemselves) {
  const pid_t pid = fork();
  if (pid == 0) _exit(0);
  EXPECT_TRUE(RunUntil([] { return os::ListChildren(getpid()).empty(); }));
}

}  // namespace
}  // namespace prefork::pool
