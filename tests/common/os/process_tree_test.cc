#include "common/os/process_tree.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "common/os/pipe.h"
#include "common/os/process_stats.h"
#include "common/os/spawn.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/os/wait_until.h"

namespace prefork::os {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr absl::Duration kPatience = absl::Seconds(20);

bool IsAlive(pid_t pid) {
  const absl::StatusOr<ProcessStats> stats = ReadProcessStats(pid);
  return stats.ok() && stats->state != 'Z';
}

// The test is a subreaper, as the daemon is, and reaps whatever is left to it.
class ProcessTreeTest : public ::testing::Test {
 protected:
  ProcessTreeTest() { prctl(PR_SET_CHILD_SUBREAPER, 1); }
  ~ProcessTreeTest() override {
    if (root_.valid()) {
      EXPECT_TRUE(KillTree(root_, kPatience).ok());
    }
    while (waitpid(-1, nullptr, 0) > 0) {
    }
    prctl(PR_SET_CHILD_SUBREAPER, 0);
  }
  // Starts a shell script as the root of a tree and waits until the tree has at least `descendants`
  // below it.
  void Start(const std::string& script, size_t descendants,
             SpawnOptions::Group group = SpawnOptions::Group::kNewSession) {
    absl::StatusOr<Pidfd> root = Spawn({.argv = {"/bin/sh", "-c", script},
                                        .env = CurrentEnvironment(),
                                        .fds = {},
                                        .group = group});
    ASSERT_TRUE(root.ok()) << root.status();
    root_ = *std::move(root);
    ASSERT_TRUE(WaitUntil([&] { return ListDescendants(root_).size() >= descendants; }));
    tree_ = ListDescendants(root_);
  }
  bool AllDead() const {
    return std::none_of(tree_.begin(), tree_.end(), IsAlive) && root_.HasExited();
  }

  Pidfd root_;
  std::vector<pid_t> tree_;
};

TEST_F(ProcessTreeTest, ListsChildrenAndGrandchildren) {
  Start("sh -c 'sleep 1000 & wait' & wait", 2);
  EXPECT_THAT(ListChildren(root_.pid()), SizeIs(1));
  EXPECT_THAT(ListChildren(ListChildren(root_.pid())[0]), SizeIs(1));
  EXPECT_THAT(ListChildren(0x7ffffffe), IsEmpty());
}

TEST_F(ProcessTreeTest, SignalReachesGroupSetsidAndGrandchildren) {
  Start("sleep 1000 & setsid sleep 1000 & sh -c 'sleep 1000 & wait' & wait", 4);
  ASSERT_TRUE(SignalTree(root_, SIGTERM).ok());
  EXPECT_TRUE(WaitUntil([&] { return AllDead(); }));
}

TEST_F(ProcessTreeTest, EachProcessGetsTheSignalOnce) {
  Pipe pipe = *CreatePipe();
  const std::string count =
      "trap 'echo term >&9' TERM; echo ready >&9; while :; do sleep 1000 & wait; done";
  absl::StatusOr<Pidfd> root = Spawn({.argv = {"/bin/sh", "-c", count},
                                      .env = CurrentEnvironment(),
                                      .fds = {{9, pipe.write_end.get()}},
                                      .group = SpawnOptions::Group::kNewSession});
  ASSERT_TRUE(root.ok());
  root_ = *std::move(root);
  const auto read_some = [&] {
    char buffer[64];
    const ssize_t got = read(pipe.read_end.get(), buffer, sizeof(buffer));
    return std::string(buffer, got > 0 ? got : 0);
  };
  ASSERT_EQ(read_some(), "ready\n");
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(SignalTree(root_, SIGTERM).ok());
    ASSERT_EQ(read_some(), "term\n");
  }
  ASSERT_TRUE(SetNonBlocking(pipe.read_end.get(), true).ok());
  EXPECT_EQ(read_some(), "");
}

TEST_F(ProcessTreeTest, KillEndsATreeThatIgnoresSigterm) {
  Start("trap '' TERM; sleep 1000 & setsid sh -c \"trap '' TERM; sleep 1000 & wait\" & wait", 3);
  ASSERT_TRUE(SignalTree(root_, SIGTERM).ok());
  ASSERT_TRUE(KillTree(root_, kPatience).ok());
  EXPECT_TRUE(AllDead());
  EXPECT_THAT(ListDescendants(root_), IsEmpty());
}

TEST_F(ProcessTreeTest, KillFindsWhatADeadRootLeftInItsSession) {
  // The middle shell ends, so its sleep is re-parented to us but stays in the session, in a group
  // of its own (set -m).
  Start("bash -c 'set -m; sleep 1000 & :'; sleep 1000 & wait", 2);
  ASSERT_TRUE(root_.SendSignal(SIGKILL).ok());
  ASSERT_TRUE(WaitUntil([&] { return root_.HasExited(); }));
  EXPECT_THAT(ListDescendants(root_), SizeIs(2));
  ASSERT_TRUE(KillTree(root_, kPatience).ok());
  EXPECT_TRUE(AllDead());
}

// A scan of the whole host for each signal would be too dear.
TEST_F(ProcessTreeTest, SignalsOfALivingRootFollowLinksAndGroups) {
  // The root goes on when what is linked below it has ended.
  Start(
      "bash -c 'set -m; sleep 1000 & :'; sh -c 'sleep 1000 & wait' & wait; "
      "exec sleep 1000",
      3);
  ASSERT_TRUE(WaitUntil([&] { return ListChildren(getpid()).size() == 2; }));
  const std::vector<pid_t> ours = ListChildren(getpid());
  const pid_t stray = ours[0] == root_.pid() ? ours[1] : ours[0];
  const std::vector<pid_t> linked = ListChildren(ListChildren(root_.pid())[0]);
  ASSERT_THAT(linked, SizeIs(1));
  ASSERT_TRUE(SignalDescendants(root_, SIGKILL).ok());
  EXPECT_TRUE(WaitUntil([&] { return !IsAlive(linked[0]); }));
  EXPECT_FALSE(root_.HasExited());
  ASSERT_TRUE(SignalTree(root_, SIGKILL).ok());
  EXPECT_TRUE(WaitUntil([&] { return root_.HasExited(); }));
  EXPECT_TRUE(IsAlive(stray)) << "a subreaper above looks after it";
  ASSERT_TRUE(SignalTree(root_, SIGKILL).ok());
  EXPECT_TRUE(WaitUntil([&] { return !IsAlive(stray); })) << "or the scan for a dead root";
}

TEST_F(ProcessTreeTest, KillStopsATreeThatKeepsForking) {
  Start("while :; do sleep 0.01 & sleep 1000 & done", 50);
  ASSERT_TRUE(KillTree(root_, kPatience).ok());
  EXPECT_TRUE(AllDead());
  EXPECT_THAT(ListDescendants(root_), IsEmpty());
}

TEST_F(ProcessTreeTest, CallersOwnGroupIsLeftAlone) {
  Start("sleep 1000 & wait", 1, SpawnOptions::Group::kSame);
  ASSERT_EQ(ReadProcessStats(root_.pid())->process_group, getpgrp());
  ASSERT_TRUE(KillTree(root_, kPatience).ok());  // this test would die with the group
  EXPECT_TRUE(AllDead());
}

TEST_F(ProcessTreeTest, TreeOfAReapedRootIsEmptyAndKillingItSucceeds) {
  const absl::StatusOr<Pidfd> gone =
      Spawn({.argv = {"true"}, .group = SpawnOptions::Group::kNewSession});
  ASSERT_TRUE(gone.ok());
  ASSERT_TRUE(gone->Reap(true).ok());
  EXPECT_THAT(ListDescendants(*gone), IsEmpty());
  EXPECT_TRUE(SignalTree(*gone, SIGTERM).ok());
  EXPECT_TRUE(KillTree(*gone, kPatience).ok());
}

}  // namespace
}  // namespace prefork::os
