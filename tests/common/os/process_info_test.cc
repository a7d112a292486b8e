// Signals, wait statuses, process figures and CPU quotas.
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "common/os/cpu_quota.h"
#include "common/os/process_stats.h"
#include "common/os/signal.h"
#include "common/os/wait_status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace prefork::os {
namespace {

using ::testing::HasSubstr;

TEST(WaitStatusTest, IsToldInWords) {
  EXPECT_EQ(DescribeWaitStatus(W_EXITCODE(0, 0)), "exited with code 0");
  EXPECT_EQ(DescribeWaitStatus(W_EXITCODE(7, 0)), "exited with code 7");
  EXPECT_EQ(DescribeWaitStatus(W_EXITCODE(0, SIGSEGV)), "killed by signal 11 (SIGSEGV)");
  EXPECT_EQ(DescribeWaitStatus(W_EXITCODE(0, SIGABRT) | WCOREFLAG),
            "killed by signal 6 (SIGABRT), core dumped");
  EXPECT_EQ(DescribeWaitStatus(W_STOPCODE(SIGSTOP)), "stopped by signal 19 (SIGSTOP)");
}

TEST(WaitStatusTest, ShellExitCodeIsTheCodeOr128PlusTheSignal) {
  EXPECT_EQ(ShellExitCode(W_EXITCODE(7, 0)), 7);
  EXPECT_EQ(ShellExitCode(W_EXITCODE(0, SIGKILL)), 137);
}

TEST(SignalNameTest, EveryNameIsUnderstoodAgain) {
  for (int signal = 1; signal <= SIGRTMAX; ++signal) {
    if (signal >= 32 && signal < SIGRTMIN) continue;  // glibc's own, without names
    EXPECT_EQ(*ParseSignal(SignalName(signal)), signal) << SignalName(signal);
    EXPECT_EQ(*ParseSignal(std::to_string(signal)), signal);
  }
  EXPECT_EQ(SignalName(77), "signal 77");
}

TEST(SignalNameTest, CommonSpellingsMeanTheSame) {
  for (const char* text : {"SIGTERM", "TERM", "term", "Sigterm", "15"})
    EXPECT_EQ(*ParseSignal(text), SIGTERM) << text;
}

TEST(SignalNameTest, OtherTextIsRefusedWithTheTextAndACure) {
  for (const char* text :
       {"", "SIG", "TERMINATE", "RTMIN+99", "RTMIN+", "RTMINx", "0", "65", "-9", "9x"}) {
    const absl::Status status = ParseSignal(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
  }
  EXPECT_THAT(std::string(ParseSignal("FOO").status().message()),
              HasSubstr("unknown signal 'FOO'; give a name"));
}

TEST(SignalTest, BlockedSignalIsReadFromTheSignalfd) {
  ASSERT_TRUE(BlockSignals({SIGUSR1}).ok());
  const Fd fd = *CreateSignalfd({SIGUSR1});
  EXPECT_EQ(ReadSignalfd(fd.get()), std::nullopt);
  raise(SIGUSR1);
  EXPECT_EQ(ReadSignalfd(fd.get()), SIGUSR1);
}

TEST(SignalTest, ResetRestoresDefaultsInAFreshChild) {
  IgnoreSignals({SIGPIPE});
  ASSERT_TRUE(BlockSignals({SIGTERM}).ok());
  const pid_t pid = fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    ResetSignals();
    raise(SIGPIPE);
    _exit(0);
  }
  int status;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_EQ(DescribeWaitStatus(status), "killed by signal 13 (SIGPIPE)");
}

TEST(ProcessStatsTest, DescribesThisProcess) {
  const absl::StatusOr<ProcessStats> stats = ReadProcessStats(getpid());
  ASSERT_TRUE(stats.ok()) << stats.status();
  EXPECT_EQ(stats->parent, getppid());
  EXPECT_EQ(stats->session, getsid(0));
  EXPECT_EQ(stats->process_group, getpgrp());
  EXPECT_EQ(stats->state, 'R');
  EXPECT_GE(stats->threads, 1);
  EXPECT_GT(stats->rss_bytes, 100'000);
  EXPECT_GT(stats->start_ticks, 0u);
  const absl::StatusOr<int64_t> pss_bytes = ReadPssBytes(getpid());
  ASSERT_TRUE(pss_bytes.ok()) << pss_bytes.status();
  EXPECT_GT(*pss_bytes, 50'000);
}

TEST(ProcessStatsTest, MissingProcessIsNotFound) {
  EXPECT_EQ(ReadProcessStats(0x7ffffffe).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReadPssBytes(0x7ffffffe).status().code(), absl::StatusCode::kNotFound);
}

// A made-up cgroup hierarchy in a scratch folder.
class CpuQuotaTest : public ::testing::Test {
 protected:
  CpuQuotaTest() {
    char name[] = "/tmp/prefork-cpu-quota-XXXXXX";
    root_ = mkdtemp(name);
    paths_ = {.proc_self_cgroup = root_ / "self", .cgroup_root = root_ / "cgroup"};
  }
  ~CpuQuotaTest() override { std::filesystem::remove_all(root_); }
  void Write(const std::filesystem::path& file, const std::string& content) {
    const std::filesystem::path path = root_ / file;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << content;
  }
  std::filesystem::path root_;
  CpuQuotaPaths paths_;
};

TEST_F(CpuQuotaTest, WithoutCgroupsTheAffinityCounts) {
  cpu_set_t set;
  ASSERT_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
  EXPECT_EQ(UsableCpus(paths_), CPU_COUNT(&set));
}

TEST_F(CpuQuotaTest, AffinityOfOneCpuIsRespected) {
  cpu_set_t before, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++cpu) {
    if (CPU_ISSET(cpu, &before)) CPU_SET(cpu, &one);
  }
  ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
  EXPECT_EQ(UsableCpus(paths_), 1);
  ASSERT_EQ(sched_setaffinity(0, sizeof(before), &before), 0);
}

TEST_F(CpuQuotaTest, QuotaOfAnAncestorCounts) {
  Write("self", "0::/a/b\n");
  Write("cgroup/a/b/cpu.max", "max 100000\n");
  Write("cgroup/a/cpu.max", "50000 100000\n");
  EXPECT_EQ(UsableCpus(paths_), 1);
}

TEST_F(CpuQuotaTest, QuotaIsRoundedUp) {
  Write("self", "0::/a\n");
  Write("cgroup/a/cpu.max", "110000 100000\n");
  const int unlimited = UsableCpus({.proc_self_cgroup = "/nowhere", .cgroup_root = "/nowhere"});
  EXPECT_EQ(UsableCpus(paths_), std::min(2, unlimited));
}

TEST_F(CpuQuotaTest, FirstVersionOfCgroupsIsUnderstood) {
  Write("self", "9:name=systemd:/\n4:cpu,cpuacct:/pod/me\n0::/\n");
  Write("cgroup/cpu,cpuacct/pod/cpu.cfs_quota_us", "20000\n");
  Write("cgroup/cpu,cpuacct/pod/cpu.cfs_period_us", "100000\n");
  Write("cgroup/cpu,cpuacct/pod/me/cpu.cfs_quota_us", "-1\n");
  Write("cgroup/cpu,cpuacct/pod/me/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(UsableCpus(paths_), 1);
}

TEST_F(CpuQuotaTest, NonsenseSetsNoLimit) {
  const int unlimited = UsableCpus({.proc_self_cgroup = "/nowhere", .cgroup_root = "/nowhere"});
  Write("self", "garbage\n0::/a\n1:cpu\n:::\n");
  for (const char* content : {"", "100000", "x y\n", "100000 0\n", "nan nan\n"}) {
    Write("cgroup/a/cpu.max", content);
    EXPECT_EQ(UsableCpus(paths_), unlimited) << content;
  }
}

}  // namespace
}  // namespace prefork::os
