#include "common/os/spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "common/os/pipe.h"
#include "common/os/process_stats.h"
#include "common/os/signal.h"
#include "common/os/wait_status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/os/open_fds.h"

namespace prefork::os {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

// Runs a shell command and returns what it wrote to descriptor 1, then how it ended.
std::string RunShell(const std::string& command, SpawnOptions options = {}) {
  Pipe pipe = *CreatePipe();
  options.argv = {"/bin/sh", "-c", command};
  options.fds.push_back({STDOUT_FILENO, pipe.write_end.get()});
  absl::StatusOr<Pidfd> child = Spawn(options);
  EXPECT_TRUE(child.ok()) << child.status();
  if (!child.ok()) return "";
  pipe.write_end.Reset();
  std::string output;
  char buffer[256];
  ssize_t got;
  while ((got = read(pipe.read_end.get(), buffer, sizeof(buffer))) > 0) output.append(buffer, got);
  const auto exit = child->Reap(true);
  EXPECT_TRUE(exit.ok() && exit->has_value());
  return output + DescribeWaitStatus((*exit)->wait_status);
}

TEST(SpawnTest, GivesTheChildItsArgumentsEnvironmentAndDirectory) {
  EXPECT_EQ(RunShell("echo $NAME; pwd; exit 7", {.env = {"NAME=value"}, .cwd = "/usr"}),
            "value\n/usr\nexited with code 7");
}

TEST(SpawnTest, ProgramWithoutASlashIsLookedUpInThePath) {
  const absl::StatusOr<Pidfd> child = Spawn({.argv = {"true"}});
  ASSERT_TRUE(child.ok()) << child.status();
  EXPECT_EQ((*child->Reap(true))->wait_status, 0);
}

TEST(SpawnTest, ProgramThatCannotBeExecutedIsNamedWithItsReason) {
  const int before = CountOpenFds();
  const absl::Status missing = Spawn({.argv = {"/no/such/program"}}).status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(missing.message(), "cannot start /no/such/program: No such file or directory");
  EXPECT_THAT(std::string(Spawn({.argv = {"/etc/passwd"}}).status().message()),
              HasSubstr("Permission denied"));
  EXPECT_THAT(std::string(Spawn({.argv = {"/bin/true"}, .cwd = "/no/dir"}).status().message()),
              HasSubstr("cannot start /bin/true in /no/dir"));
  EXPECT_EQ(Spawn({}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(CountOpenFds(), before);
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "a child was left behind";
}

TEST(SpawnTest, SwappedDescriptorsArriveWhereTheyWereSent) {
  // 3 -> 4 and 4 -> 3 in the child: a naive dup2 would overwrite one of them.
  Pipe first = *CreatePipe();
  Pipe second = *CreatePipe();
  ASSERT_EQ(write(first.write_end.get(), "first\n", 6), 6);
  ASSERT_EQ(write(second.write_end.get(), "second\n", 7), 7);
  first.write_end.Reset();
  second.write_end.Reset();
  const int a = first.read_end.get(), b = second.read_end.get();
  const std::string command = "cat <&" + std::to_string(a) + "; cat <&" + std::to_string(b);
  EXPECT_EQ(RunShell(command, {.env = CurrentEnvironment(), .fds = {{a, b}, {b, a}}}),
            "second\nfirst\nexited with code 0");
}

TEST(SpawnTest, DescriptorCanKeepItsNumber) {
  Pipe pipe = *CreatePipe();
  ASSERT_EQ(write(pipe.write_end.get(), "kept\n", 5), 5);
  pipe.write_end.Reset();
  const int fd = pipe.read_end.get();
  EXPECT_EQ(
      RunShell("cat <&" + std::to_string(fd), {.env = CurrentEnvironment(), .fds = {{fd, fd}}}),
      "kept\nexited with code 0");
}

TEST(SpawnTest, ChildHasNoOtherDescriptors) {
  for (int fd = 3; fd < 1024; ++fd)
    fcntl(fd, F_SETFD, FD_CLOEXEC);  // what the test was started with
  const Pipe pipe = *CreatePipe();
  // 3 is the folder that ls reads.
  EXPECT_EQ(RunShell("exec ls /proc/self/fd", {.env = CurrentEnvironment()}),
            "0\n1\n2\n3\nexited with code 0");
}

TEST(SpawnTest, ChildStartsWithDefaultSignals) {
  std::thread blocked([] {
    ASSERT_TRUE(BlockSignals({SIGTERM, SIGUSR1}).ok());
    IgnoreSignals({SIGPIPE});
    const std::string status =
        RunShell("exec grep -E 'SigBlk|SigIgn' /proc/self/status", {.env = CurrentEnvironment()});
    EXPECT_THAT(status, HasSubstr("SigBlk:\t0000000000000000"));
    // glibc ignores its own two signals, 32 and 33.
    EXPECT_THAT(status, AnyOf(HasSubstr("SigIgn:\t0000000180000000"),
                              HasSubstr("SigIgn:\t0000000000000000")));
  });
  blocked.join();
}

TEST(SpawnTest, GroupAndSessionAreThoseAskedFor) {
  const auto stats_of = [](SpawnOptions::Group group, auto check) {
    const absl::StatusOr<Pidfd> child = Spawn({.argv = {"sleep", "1000"}, .group = group});
    ASSERT_TRUE(child.ok());
    check(child->pid(), *ReadProcessStats(child->pid()));
    EXPECT_TRUE(child->SendSignal(SIGKILL).ok());
    EXPECT_EQ(DescribeWaitStatus((*child->Reap(true))->wait_status),
              "killed by signal 9 (SIGKILL)");
  };
  stats_of(SpawnOptions::Group::kSame, [](pid_t, const ProcessStats& stats) {
    EXPECT_EQ(stats.process_group, getpgrp());
    EXPECT_EQ(stats.parent, getpid());
  });
  stats_of(SpawnOptions::Group::kNewGroup, [](pid_t pid, const ProcessStats& stats) {
    EXPECT_EQ(stats.process_group, pid);
    EXPECT_EQ(stats.session, getsid(0));
  });
  stats_of(SpawnOptions::Group::kNewSession, [](pid_t pid, const ProcessStats& stats) {
    EXPECT_EQ(stats.process_group, pid);
    EXPECT_EQ(stats.session, pid);
  });
}

TEST(PidfdTest, TellsHowAndAtWhatCostAProcessEnded) {
  const absl::StatusOr<Pidfd> child = Spawn({.argv = {"/bin/sh", "-c", "kill -SEGV $$"}});
  ASSERT_TRUE(child.ok());
  const auto exit = child->Reap(true);
  ASSERT_TRUE(exit.ok()) << exit.status();
  EXPECT_THAT(DescribeWaitStatus((*exit)->wait_status), HasSubstr("killed by signal 11 (SIGSEGV)"));
  EXPECT_GT((*exit)->usage.ru_maxrss, 0);
  EXPECT_EQ(child->Reap(false).status().code(), absl::StatusCode::kNotFound) << "reaped already";
  EXPECT_EQ(child->SendSignal(SIGTERM).code(), absl::StatusCode::kNotFound);
}

TEST(PidfdTest, RunningProcessHasNotExitedAndIsNotReaped) {
  const absl::StatusOr<Pidfd> child = Spawn({.argv = {"sleep", "1000"}});
  ASSERT_TRUE(child.ok());
  EXPECT_FALSE(child->HasExited());
  EXPECT_FALSE(child->Reap(false)->has_value());
  ASSERT_TRUE(child->SendSignal(SIGKILL).ok());
  EXPECT_TRUE(child->Reap(true)->has_value());
  EXPECT_TRUE(child->HasExited());
}

TEST(PidfdTest, AdoptLearnsThePidFromTheKernelAndRefusesOtherDescriptors) {
  const absl::StatusOr<Pidfd> self = Pidfd::Open(getpid());
  ASSERT_TRUE(self.ok());
  EXPECT_EQ(Pidfd::Adopt(Fd(fcntl(self->fd(), F_DUPFD_CLOEXEC, 0)))->pid(), getpid());
  EXPECT_EQ(Pidfd::Adopt(std::move(CreatePipe()->read_end)).status().code(),
            absl::StatusCode::kFailedPrecondition);
  const absl::StatusOr<Pidfd> child = Spawn({.argv = {"true"}});
  ASSERT_TRUE(child->Reap(true).ok());
  EXPECT_EQ(Pidfd::Adopt(Fd(fcntl(child->fd(), F_DUPFD_CLOEXEC, 0))).status().code(),
            absl::StatusCode::kNotFound);
}

TEST(PidfdTest, OpenOfAMissingProcessIsNotFound) {
  EXPECT_EQ(Pidfd::Open(0x7ffffffe).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace prefork::os
