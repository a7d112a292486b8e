// Descriptors, processes and memory run out. Whoever asks is told, what runs goes on, and when
// there is room again everything is as before.
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fault/fault_bed.h"
#include "tests/integration/other_users.h"
#include "worker_programs.h"

namespace prefork::fault {
namespace {

using client::TaskHandle;
using client::TaskResult;
using client::TaskState;
using ::testing::AllOf;
using ::testing::HasSubstr;

// As long as it lives, a process has a lower limit. Only its own user may say so, `user`; root may
// lack the right to.
class LowerLimit {
 public:
  LowerLimit(pid_t pid, __rlimit_resource resource, rlim_t limit, uid_t user = geteuid())
      : pid_(pid), resource_(resource), user_(user) {
    EXPECT_TRUE(Prlimit(nullptr, &before_));
    const rlimit tight = {limit, before_.rlim_max};
    EXPECT_TRUE(Prlimit(&tight, nullptr));
  }
  ~LowerLimit() { EXPECT_TRUE(Prlimit(&before_, nullptr)); }
  LowerLimit(const LowerLimit&) = delete;
  LowerLimit& operator=(const LowerLimit&) = delete;

 private:
  // In a child that shares our memory, because a thread alone can't become somebody else and back.
  bool Prlimit(const rlimit* wanted, rlimit* old) const {
    const pid_t child = vfork();
    if (child == 0) {
      const bool is_user = user_ == geteuid() || syscall(SYS_setresuid, user_, user_, user_) == 0;
      _exit(is_user && prlimit(pid_, resource_, wanted, old) == 0 ? 0 : 1);
    }
    int status = -1;
    return waitpid(child, &status, 0) == child && status == 0;
  }

  const pid_t pid_;
  const __rlimit_resource resource_;
  const uid_t user_;
  rlimit before_ = {};
};

// The daemon can open `spare` more descriptors: what is open has the lowest numbers, or nearly so.
class DescriptorShortage : public LowerLimit {
 public:
  DescriptorShortage(const FaultBed& bed, const testing::Daemon& daemon, uint64_t spare)
      : LowerLimit(daemon.pid(), RLIMIT_NOFILE, bed.Descriptors() + spare) {}
};

// A user of its own, who is not above limits as root is.
uid_t LimitedUser() { return geteuid() == 0 ? 64137 : geteuid(); }

// A pool whose processes belong to that user.
std::string LimitedPool(const std::string& name, int size) {
  std::string command;
  if (geteuid() == 0) {
    command =
        absl::StrCat("\"setpriv\", \"--reuid\", \"", LimitedUser(), "\", \"--clear-groups\", ");
  }
  absl::StrAppend(&command, "\"", worker_testing::kWorkerProgram,
                  "\", \"--runtime\", \"native\", \"--module\", \"", worker_testing::kTestModule,
                  "\"");
  return MisbehavingPool(name, size, absl::StrCat("zygote_command = [", command, "]"));
}

void KillWorkers(FaultBed& bed, const std::string& pool) {
  for (const v1::Worker& worker : bed.Workers(pool)) ASSERT_EQ(kill(worker.pid(), SIGKILL), 0);
}

TEST(ResourceFaultTest, NoDescriptorsForANewWorker) {
  FaultBed bed({.config = MisbehavingPool("p", 3)});
  {
    const DescriptorShortage shortage(bed, bed.daemon(), 0);
    for (const v1::Worker& worker : bed.Workers("p")) {
      if (worker.index() == 0) continue;
      ASSERT_EQ(kill(worker.pid(), SIGKILL), 0);
    }
    ASSERT_TRUE(testing::WaitFor([&] { return bed.Pool("p").worker_exits() == 2; }));
    for (int i = 0; i < 20; ++i) bed.ExpectWorks("p");
  }
}

TEST(ResourceFaultTest, NoDescriptorsForALargePool) {
  FaultBed bed({.config = MisbehavingPool("p", 1)});
  bed.api().set_call_timeout(absl::Seconds(3));
  {
    const DescriptorShortage shortage(bed, bed.daemon(), 40);
    const absl::StatusOr<v1::Pool> scaled = bed.api().ScalePool("p", 30);
    EXPECT_FALSE(scaled.ok());
    ASSERT_TRUE(bed.WaitForPool("p", v1::POOL_STATE_DEGRADED)) << bed.daemon().Log();
    EXPECT_THAT(bed.Pool("p").reason(), HasSubstr("Too many open files"));
    for (int i = 0; i < 20; ++i) bed.ExpectWorks("p");
  }
  bed.api().set_call_timeout(kPatience);
  EXPECT_TRUE(bed.WaitForPool("p", v1::POOL_STATE_READY));
  const absl::StatusOr<v1::Pool> back = bed.api().ScalePool("p", 1);
  EXPECT_TRUE(back.ok()) << back.status();
}

// The newcomer waits or is refused; nobody else notices.
TEST(ResourceFaultTest, NoDescriptorsForANewConnection) {
  FaultBed bed({.config = MisbehavingPool("p", 1)});
  {
    const DescriptorShortage shortage(bed, bed.daemon(), 0);
    constexpr int kNewcomers = 5;
    std::vector<absl::StatusOr<client::Client>> newcomers;
    newcomers.reserve(kNewcomers);
    for (int i = 0; i < kNewcomers; ++i) {
      newcomers.push_back(client::Client::Connect({.address = bed.daemon().address(),
                                                   .autostart = false,
                                                   .connect_timeout = absl::Seconds(1)}));
    }
    EXPECT_FALSE(newcomers.back().ok());
    for (int i = 0; i < 20; ++i) bed.ExpectWorks("p");
  }
  bed.Connect();
}

TEST(ResourceFaultTest, NoProcessesForWorkers) {
  const std::string closed = testing::ClosedDirectoryAbove(worker_testing::kTestModule);
  if (geteuid() == 0 && !closed.empty()) {
    GTEST_SKIP() << closed << " is closed to the user that the pool's processes become";
  }
  FaultBed bed({.config = MisbehavingPool("sound", 1) + LimitedPool("p", 2)});
  const pid_t zygote = bed.Pool("p").zygote_pid();
  {
    const LowerLimit limit(zygote, RLIMIT_NPROC, 0, LimitedUser());
    KillWorkers(bed, "p");
    ASSERT_TRUE(bed.WaitForPool("p", v1::POOL_STATE_DEGRADED)) << bed.daemon().Log();
    EXPECT_THAT(bed.Pool("p").reason(),
                AllOf(HasSubstr("fork of a worker: Resource temporarily unavailable"),
                      HasSubstr("TasksMax=")));
    for (int i = 0; i < 20; ++i) bed.ExpectWorks("sound");
  }
  // By itself, at its slow pace, with the zygote that it has.
  bed.ExpectWorks("p");
  bed.ExpectWhole();
  EXPECT_EQ(bed.Pool("p").zygote_pid(), zygote);
}

// What its workers run goes on meanwhile.
TEST(ResourceFaultTest, NoDescriptorsInTheZygote) {
  FaultBed bed({.config = MisbehavingPool("p", 3)});
  const TaskHandle task = bed.Submit("p", "wait_cancelled");
  ASSERT_TRUE(bed.WaitForState(task.id(), v1::TASK_STATE_RUNNING));
  const pid_t zygote = bed.Pool("p").zygote_pid();
  {
    const LowerLimit limit(zygote, RLIMIT_NOFILE, 3);
    for (const v1::Worker& worker : bed.Workers("p")) {
      if (worker.state() != v1::WORKER_STATE_IDLE) continue;
      ASSERT_EQ(kill(worker.pid(), SIGKILL), 0);
    }
    ASSERT_TRUE(bed.WaitForPool("p", v1::POOL_STATE_DEGRADED)) << bed.daemon().Log();
    EXPECT_THAT(bed.Pool("p").reason(),
                AllOf(HasSubstr("Too many open files"), HasSubstr("LimitNOFILE=")));
    EXPECT_FALSE(task.done());
  }
  bed.ExpectWorks("p");
  task.Cancel();
  EXPECT_EQ(FaultBed::End(task).state, TaskState::kCancelled);
  bed.ExpectWhole();
  EXPECT_EQ(bed.Pool("p").zygote_pid(), zygote);
}

constexpr char kSmallSegments[] =
    "[limits]\nsegments = \"4MiB\"\nwarm_segments = \"0\"\ninline_payload = \"1KiB\"\n";

TEST(ResourceFaultTest, NoMemoryForPayloads) {
  FaultBed bed({.config = kSmallSegments + MisbehavingPool("p", 1)});
  const TaskHandle blocker = bed.Submit("p", "wait_cancelled");
  ASSERT_TRUE(bed.WaitForState(blocker.id(), v1::TASK_STATE_RUNNING));
  v1::TaskSpec spec;
  spec.set_pool("p");
  spec.set_function("payload_size");
  spec.set_payload(std::string(900'000, 'x'));
  std::vector<uint64_t> accepted;
  absl::Status refused;
  for (int i = 0; i < 10 && refused.ok(); ++i) {
    const absl::StatusOr<v1::SubmitResponse> submitted = bed.api().Submit(spec);
    if (submitted.ok()) {
      accepted.push_back(submitted->task_id());
    } else {
      refused = submitted.status();
    }
  }
  EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("all segments together"));
  EXPECT_FALSE(accepted.empty());
  // Small ones need none of it.
  const TaskHandle small = bed.Submit("p", "echo", "small");
  blocker.Cancel();
  EXPECT_TRUE(FaultBed::End(small).ok());
  for (const uint64_t id : accepted) {
    const absl::StatusOr<v1::Task> task = bed.api().WaitTask(id, kPatience);
    ASSERT_TRUE(task.ok()) << task.status();
    EXPECT_EQ(task->result().value(), "900000") << task->ShortDebugString();
  }
  // Kept payloads make room for new ones.
  for (int i = 0; i < 20; ++i) {
    const absl::StatusOr<v1::SubmitResponse> submitted = bed.api().Submit(spec);
    ASSERT_TRUE(submitted.ok()) << submitted.status();
    ASSERT_TRUE(bed.api().WaitTask(submitted->task_id(), kPatience).ok());
  }
  v1::DeleteTaskRequest all_of_them;
  all_of_them.mutable_filter()->set_pool("p");
  EXPECT_TRUE(bed.api().DeleteTasks(all_of_them).ok());
}

// The kernel itself refuses: memory of segments counts against the file size limit.
TEST(ResourceFaultTest, NoSegmentsBeyondTheFileSizeLimit) {
  FaultBed bed({.config = kSmallSegments + MisbehavingPool("p", 1)});
  v1::TaskSpec spec;
  spec.set_pool("p");
  spec.set_function("payload_size");
  spec.set_payload(std::string(900'000, 'x'));
  const TaskHandle running = bed.Submit("p", "wait_cancelled");
  {
    const LowerLimit limit(bed.daemon().pid(), RLIMIT_FSIZE, 500'000);
    const absl::Status refused = bed.api().Submit(spec).status();
    EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
    EXPECT_THAT(std::string(refused.message()),
                AllOf(HasSubstr("fallocate"), HasSubstr("File too large"), HasSubstr("ulimit -f")));
    running.Cancel();
    const TaskResult value = FaultBed::End(bed.Submit("p", "value_bytes", "900000"));
    EXPECT_EQ(value.state, TaskState::kFailed) << Describe(value);
    EXPECT_THAT(value.error, HasSubstr("File too large"));
    for (int i = 0; i < 20; ++i) bed.ExpectWorks("p");
  }
  const absl::StatusOr<v1::SubmitResponse> accepted = bed.api().Submit(spec);
  ASSERT_TRUE(accepted.ok()) << accepted.status();
  const absl::StatusOr<v1::Task> task = bed.api().WaitTask(accepted->task_id(), kPatience);
  ASSERT_TRUE(task.ok()) << task.status();
  EXPECT_EQ(task->result().value(), "900000");
  v1::DeleteTaskRequest all_of_them;
  all_of_them.mutable_filter()->set_pool("p");
  EXPECT_TRUE(bed.api().DeleteTasks(all_of_them).ok());
}

TEST(ResourceFaultTest, NoMemoryForValues) {
  FaultBed bed({.config = kSmallSegments + MisbehavingPool("p", 2)});
  const TaskResult large = FaultBed::End(bed.Submit("p", "value_bytes", "8000000"));
  EXPECT_EQ(large.state, TaskState::kFailed) << Describe(large);
  EXPECT_THAT(large.error, HasSubstr("8000000"));
  for (int i = 0; i < 20; ++i) {
    const TaskResult fits = FaultBed::End(bed.Submit("p", "value_bytes", "900000"));
    EXPECT_TRUE(fits.ok()) << Describe(fits);
    EXPECT_EQ(fits.value.size(), 900'000u);
  }
  v1::DeleteTaskRequest all_of_them;
  all_of_them.mutable_filter()->set_pool("p");
  EXPECT_TRUE(bed.api().DeleteTasks(all_of_them).ok());
}

// What dies with a large payload or value in its hands gives the memory back. The one worker proves
// itself between its deaths: a pool whose workers do nothing but die would be DEGRADED.
TEST(ResourceFaultTest, DeadWorkersHoldNoSegments) {
  FaultBed bed({.config = kSmallSegments + MisbehavingPool("p", 1)});
  for (int i = 0; i < 20; ++i) {
    bed.ExpectWorks("p");
    client::TaskSpec spec{.pool = "p", .function = "kill_self", .payload = "9"};
    if (i % 2 == 0) spec = {.pool = "p", .function = "abort", .payload = std::string(900'000, 'x')};
    EXPECT_EQ(FaultBed::End(bed.Submit(spec)).state, TaskState::kCrashed);
  }
  v1::DeleteTaskRequest all_of_them;
  all_of_them.mutable_filter()->set_pool("p");
  EXPECT_TRUE(bed.api().DeleteTasks(all_of_them).ok());
  EXPECT_TRUE(testing::WaitFor([&] {
    const absl::StatusOr<v1::DaemonStatus> status = bed.api().GetStatus();
    return status.ok() && status->segment_bytes_leased() == 0;
  }));
}

}  // namespace
}  // namespace prefork::fault
