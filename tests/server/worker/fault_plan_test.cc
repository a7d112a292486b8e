// The faults themselves: each must strike where it says, or tests that rely on them prove nothing.
#include "tests/server/worker/fault_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/os/process_stats.h"
#include "tests/server/worker/fake_daemon.h"
#include "worker_programs.h"

namespace prefork::worker_testing {
namespace {

using ::testing::HasSubstr;

FakeDaemon::Options Faulty(const std::string& fault) {
  FakeDaemon::Options options;
  options.program = kFaultyWorkerProgram;
  options.arguments = {"--runtime", "native", "--module", kTestModule};
  options.env = {"PREFORK_FAULT=" + fault};
  return options;
}

std::unique_ptr<FakeDaemon> StartReady(const std::string& fault) {
  absl::StatusOr<std::unique_ptr<FakeDaemon>> daemon = FakeDaemon::Start(Faulty(fault));
  EXPECT_TRUE(daemon.ok()) << daemon.status();
  const absl::StatusOr<zygote::Ready> ready = (*daemon)->Expect<zygote::Ready>();
  EXPECT_TRUE(ready.ok()) << ready.status();
  return *std::move(daemon);
}

TEST(FaultPlanTest, WrongTextIsNamed) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"kill", "write ACTION@STEP"},
      {"kiss@claimed", "the actions are kill stop"},
      {"kill@nowhere", "the steps are forked before_ready"},
      {"kill@claimed:task=0", "write CONDITION=NUMBER"},
      {"kill@claimed:often=3", "the conditions are"},
      {"up-tail-far-ahead@forked", "nothing to spoil"},
      {"up-body-bytes@claimed", "nothing to spoil"},
      {"no_memory@claimed", "only a zygote forks"}};
  for (const auto& [text, message] : cases) {
    EXPECT_THAT(std::string(FaultPlan::Parse(text).status().message()), HasSubstr(message));
  }
  EXPECT_TRUE(FaultPlan::Parse("").ok());
  EXPECT_TRUE(FaultPlan::Parse("kill@claimed:task=17:start=1,hang@forked:every=10").ok());
}

// What a kill at each step leaves in the lane: the contract between worker and engine.
struct KillCase {
  const char* step;
  bool claimed;
  bool released;
  bool finished;
};
class KillAtStepTest : public ::testing::TestWithParam<KillCase> {};

TEST_P(KillAtStepTest, LeavesTheLaneAsTheEngineExpects) {
  const std::unique_ptr<FakeDaemon> daemon =
      StartReady(std::string("kill@") + GetParam().step + ":every=3");
  absl::StatusOr<std::unique_ptr<FakeWorker>> worker = daemon->Fork(0);
  ASSERT_TRUE(worker.ok()) << worker.status();
  std::vector<TaskSpec> tasks;
  for (uint64_t id = 1; id <= 5; ++id) {
    tasks.push_back({.id = id, .function = "echo", .payload = "x"});
  }
  ASSERT_TRUE((*worker)->Submit(tasks));
  const absl::StatusOr<zygote::Exited> exited = daemon->Expect<zygote::Exited>();
  ASSERT_TRUE(exited.ok()) << exited.status();
  ASSERT_TRUE(WIFSIGNALED(exited->body.wait_status));
  EXPECT_EQ(WTERMSIG(exited->body.wait_status), SIGKILL);
  (*worker)->Pump();
  EXPECT_TRUE((*worker)->status().ok()) << (*worker)->status();
  shm::QueueProducer& down = (*worker)->lane().down();
  const shm::RecordPosition third = (*worker)->positions()[2];
  EXPECT_EQ(down.IsClaimed(third), GetParam().claimed);
  EXPECT_EQ(*down.IsReleased(third), GetParam().released);
  EXPECT_EQ((*worker)->finished().contains(3), GetParam().finished);
  EXPECT_TRUE((*worker)->finished().contains(2));
  EXPECT_TRUE(down.Revoke((*worker)->positions()[3])) << "the fourth was never touched";
}

INSTANTIATE_TEST_SUITE_P(All, KillAtStepTest,
                         ::testing::Values(KillCase{"before_claim", false, false, false},
                                           KillCase{"claimed", true, false, false},
                                           KillCase{"result_written", true, false, false},
                                           KillCase{"result_published", true, false, true},
                                           KillCase{"result_announced", true, false, true},
                                           KillCase{"released", true, true, true}),
                         [](const ::testing::TestParamInfo<KillCase>& info) {
                           return std::string(info.param.step);
                         });

class SpoiltLaneTest : public ::testing::TestWithParam<const char*> {};

TEST_P(SpoiltLaneTest, IsSeenByTheReader) {
  const std::unique_ptr<FakeDaemon> daemon = StartReady(GetParam());
  absl::StatusOr<std::unique_ptr<FakeWorker>> worker = daemon->Fork(0);
  ASSERT_TRUE(worker.ok()) << worker.status();
  ASSERT_TRUE((*worker)->Submit({{.id = 1, .function = "noop"}}));
  EXPECT_TRUE((*worker)->PumpUntil([&] {
    const absl::StatusOr<bool> released =
        (*worker)->lane().down().IsReleased((*worker)->positions()[0]);
    return !(*worker)->status().ok() || !released.ok();
  })) << GetParam();
}

INSTANTIATE_TEST_SUITE_P(All, SpoiltLaneTest,
                         ::testing::Values("up-tail-far-ahead@result_written",
                                           "up-body-bytes@result_written",
                                           "up-kind-unknown@result_written",
                                           "up-generation@result_written", "message@claimed"));

TEST(FaultPlanTest, AFileStrikesOnceInTheFirstThatComes) {
  std::string file = ::testing::TempDir() + "fault-XXXXXX";
  close(mkstemp(file.data()));
  FakeDaemon::Options options = Faulty("");
  options.env = {absl::StrCat(kFaultFileVariable, "=", file)};
  absl::StatusOr<std::unique_ptr<FakeDaemon>> daemon = FakeDaemon::Start(options);
  ASSERT_TRUE(daemon.ok()) << daemon.status();
  ASSERT_TRUE((*daemon)->Expect<zygote::Ready>().ok());
  absl::StatusOr<std::unique_ptr<FakeWorker>> first = (*daemon)->Fork(0);
  absl::StatusOr<std::unique_ptr<FakeWorker>> second = (*daemon)->Fork(1);
  ASSERT_TRUE(first.ok() && second.ok());
  std::ofstream(file) << "kill@claimed";
  ASSERT_TRUE((*first)->Submit({{.id = 1, .function = "noop"}}));
  const absl::StatusOr<zygote::Exited> exited = (*daemon)->Expect<zygote::Exited>();
  ASSERT_TRUE(exited.ok()) << exited.status();
  EXPECT_EQ(WTERMSIG(exited->body.wait_status), SIGKILL);
  EXPECT_NE(access(file.c_str(), F_OK), 0);
  ASSERT_TRUE((*second)->Submit({{.id = 2, .function = "noop"}}));
  (*second)->WaitFinished(2);
}

TEST(FaultPlanTest, AZygoteCanHangOrDieBeforeReadyOrTalkRubbish) {
  {
    absl::StatusOr<std::unique_ptr<FakeDaemon>> hanging =
        FakeDaemon::Start(Faulty("hang@zygote_before_ready"));
    ASSERT_TRUE(hanging.ok());
    EXPECT_TRUE(
        absl::IsDeadlineExceeded((*hanging)->NextMessage(absl::Milliseconds(200)).status()));
    ASSERT_TRUE((*hanging)->zygote().SendSignal(SIGKILL).ok());
  }
  {
    absl::StatusOr<std::unique_ptr<FakeDaemon>> dying =
        FakeDaemon::Start(Faulty("kill@zygote_before_ready"));
    ASSERT_TRUE(dying.ok());
    EXPECT_TRUE(zygote::IsClosed((*dying)->NextMessage().status()));
  }
  {
    absl::StatusOr<std::unique_ptr<FakeDaemon>> babbling =
        FakeDaemon::Start(Faulty("message@zygote_before_ready"));
    ASSERT_TRUE(babbling.ok());
    EXPECT_EQ((*babbling)->NextMessage().status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST(FaultPlanTest, AZygoteWithoutMemoryRefusesToFork) {
  const std::unique_ptr<FakeDaemon> daemon = StartReady("no_memory@zygote_ready");
  const absl::StatusOr<std::unique_ptr<FakeWorker>> worker = daemon->Fork(0);
  EXPECT_FALSE(worker.ok());
  EXPECT_THAT(std::string(worker.status().message()), HasSubstr("Cannot allocate memory"));
}

TEST(FaultPlanTest, EverySecondWorkerDiesBeforeItIsReady) {
  const std::unique_ptr<FakeDaemon> daemon = StartReady("kill@before_ready:every=2");
  for (uint32_t i = 1; i <= 4; ++i) {
    absl::StatusOr<std::unique_ptr<FakeWorker>> worker =
        daemon->Fork(i, /*dedicated=*/false, /*wait_ready=*/false);
    const bool dies = i % 2 == 0;
    if (!dies || !absl::IsNotFound(worker.status())) {  // dead and gone when we hear of it
      ASSERT_TRUE(worker.ok()) << worker.status();
      EXPECT_EQ((*worker)->PumpUntil([&] { return (*worker)->ready(); }), !dies);
      (*worker)->control().Close();
    }
    EXPECT_TRUE(daemon->Expect<zygote::Exited>().ok());
  }
}

TEST(FaultPlanTest, AStoppedWorkerIsNeitherDeadNorDone) {
  const std::unique_ptr<FakeDaemon> daemon = StartReady("stop@claimed:task=2");
  absl::StatusOr<std::unique_ptr<FakeWorker>> worker = daemon->Fork(0);
  ASSERT_TRUE(worker.ok()) << worker.status();
  ASSERT_TRUE((*worker)->Submit({{.id = 1, .function = "noop"}, {.id = 2, .function = "noop"}}));
  (*worker)->WaitFinished(1);
  const absl::Time deadline = absl::Now() + kPatience;
  while (os::ReadProcessStats((*worker)->pid())->state != 'T' && absl::Now() < deadline) {
  }
  EXPECT_FALSE((*worker)->pidfd().HasExited());
  (*worker)->Pump();
  EXPECT_FALSE((*worker)->finished().contains(2));
  ASSERT_TRUE((*worker)->pidfd().SendSignal(SIGCONT).ok());
  (*worker)->WaitFinished(2);
}

}  // namespace
}  // namespace prefork::worker_testing
