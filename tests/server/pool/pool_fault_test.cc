// Zygotes and workers that misbehave in every way: each case ends with an exact state, a reason that
// a person can use, a cure that works, and (checked by the test bed) no process left.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "absl/strings/match.h"
#include "common/os/fd.h"
#include "server/pool/worker_pool.h"
#include "tests/server/pool/pool_test_bed.h"

namespace prefork::pool {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class PoolFaultTest : public PoolTestBed {
 protected:
  // Makes everything well and waits until the pool is full and says so.
  void CureAndExpectFullPool(size_t size) {
    Cure();
    EXPECT_TRUE(AdvanceUntil(absl::Seconds(10), 20, [&] {
      return owner.ready.size() == size && !pool->degraded() && pool->degraded_reason().empty();
    })) << pool->degraded_reason();
  }
  size_t Starts() const {
    return static_cast<size_t>(std::count_if(
        owner.events.begin(), owner.events.end(),
        [](const std::string& event) { return absl::StartsWith(event, "starting"); }));
  }
};

// --- zygotes that never get ready ---------------------------------------------------------------

TEST_F(PoolFaultTest, AZygoteThatHangsAtItsStartIsKilledAndCounted) {
  StartPool(Spec("never-ready", "good", 2));
  EXPECT_FALSE(pool->degraded());
  Advance(absl::Seconds(31));
  ASSERT_TRUE(RunUntil([&] { return pool->degraded(); }));
  EXPECT_THAT(pool->degraded_reason(),
              AllOf(HasSubstr("not ready within start_timeout"), HasSubstr("tries again")));
  EXPECT_EQ(pool->zygote_pid(), 0);
  CureAndExpectFullPool(2);
}

TEST_F(PoolFaultTest, AZygoteThatDiesAtItsStartIsQuotedAndRetriedNotBeforeASecond) {
  StartPool(Spec("dies", "good", 2));
  ASSERT_TRUE(RunUntil([&] { return pool->degraded(); }));
  EXPECT_THAT(pool->degraded_reason(),
              AllOf(HasSubstr("exited with code 3"), HasSubstr("ModuleNotFoundError: numpy"),
                    HasSubstr("fake_zygote")));
  Cure();
  Advance(absl::Milliseconds(900));
  loop->RunOnce(20'000'000);
  EXPECT_EQ(pool->zygote_pid(), 0) << "started again within a second";
  Advance(absl::Milliseconds(200));
  EXPECT_TRUE(RunUntilReady(2));
  EXPECT_FALSE(pool->degraded());
}

TEST_F(PoolFaultTest, AZygoteThatSaysFailedIsQuoted) {
  StartPool(Spec("fails", "good", 1));
  ASSERT_TRUE(RunUntil([&] { return pool->degraded(); }));
  EXPECT_THAT(pool->degraded_reason(), HasSubstr("module /lib/missing.so: no such file"));
  CureAndExpectFullPool(1);
}

TEST_F(PoolFaultTest, AZygoteProgramThatIsMissingIsNamed) {
  PoolSpec spec = Spec("good", "good", 1);
  spec.zygote_command = {"/no/such/zygote"};
  StartPool(spec);
  EXPECT_TRUE(pool->degraded());
  EXPECT_THAT(pool->degraded_reason(),
              AllOf(HasSubstr("/no/such/zygote"), HasSubstr("No such file or directory")));
}

TEST_F(PoolFaultTest, DedicatedRequestsFailWhenTheZygoteCanNotBeStarted) {
  StartPool(Spec("dies", "good", 1));
  pool->StartDedicated(5);
  ASSERT_TRUE(RunUntil([&] { return owner.dedicated_failures.size() == 1; }));
  EXPECT_TRUE(absl::IsUnavailable(owner.dedicated_failures.front().second));
  pool->StartDedicated(6);
  ASSERT_TRUE(RunUntil([&] { return owner.dedicated_failures.size() == 2; }));
}

// --- zygotes that talk nonsense -----------------------------------------------------------------

struct Nonsense {
  const char* mode;
  const char* complaint;
};

class NonsenseTest : public PoolFaultTest, public ::testing::WithParamInterface<Nonsense> {};

TEST_P(NonsenseTest, KillsTheZygoteLogsWhyAndStartsAnother) {
  StartPool(Spec(GetParam().mode, "good", 2));
  ASSERT_TRUE(RunUntil([&] { return owner.Logged(GetParam().complaint); }))
      << ::testing::PrintToString(owner.log);
  CureAndExpectFullPool(2);
}

TEST_P(NonsenseTest, DoesNotSpinWhenItGoesOn) {
  StartPool(Spec(GetParam().mode, "never-ready", 1));
  ASSERT_TRUE(RunUntil([&] { return !pool->degraded_reason().empty(); }));
  EXPECT_THAT(pool->degraded_reason(), HasSubstr("zygotes keep dying"));
  const auto restarts = [&] {
    return std::count_if(owner.log.begin(), owner.log.end(), [](const std::string& line) {
      return absl::StrContains(line, "zygote ready");
    });
  };
  const auto before = restarts();
  EXPECT_LE(before, 4);
  EXPECT_FALSE(AdvanceUntil(absl::Milliseconds(10), 3, [&] { return restarts() > before; }))
      << "started again without a pause";
}

INSTANTIATE_TEST_SUITE_P(AllKinds, NonsenseTest,
                         ::testing::Values(Nonsense{"garbage", "broke the zygote protocol"},
                                           Nonsense{"oversize", "broke the zygote protocol"},
                                           Nonsense{"ready-twice", "a second READY"},
                                           Nonsense{"exited-unknown", "which it has not forked"},
                                           Nonsense{"forked-twice", "which was not asked for"},
                                           Nonsense{"no-pidfd", "descriptor"},
                                           Nonsense{"names-the-daemon", "which is not its child"},
                                           Nonsense{"exited-alive", "which lives"}),
                         [](const auto& info) {
                           std::string name = info.param.mode;
                           name.erase(std::remove(name.begin(), name.end(), '-'), name.end());
                           return name;
                         });

// --- zygotes that stop working ------------------------------------------------------------------

TEST_F(PoolFaultTest, AZygoteThatClosesItsSocketButLivesIsKilled) {
  StartPool(Spec("closes-socket", "good", 1));
  ASSERT_TRUE(AdvanceUntil(absl::Seconds(1), 10,
                           [&] { return owner.Logged("closed its socket but did not end"); }));
  CureAndExpectFullPool(1);
}

TEST_F(PoolFaultTest, AZygoteThatDoesNotAnswerForkIsKilled) {
  StartPool(Spec("mute", "good", 2));
  ASSERT_TRUE(RunUntil([&] { return pool->zygote_pid() > 0; }));
  Advance(absl::Seconds(31));
  ASSERT_TRUE(RunUntil([&] { return owner.Logged("did not answer FORK"); }));
  CureAndExpectFullPool(2);
}

TEST_F(PoolFaultTest, AZygoteThatCanNotForkDegradesThePoolUntilItCan) {
  StartPool(Spec("fork-fails", "good", 2));
  ASSERT_TRUE(AdvanceUntil(absl::Seconds(2), 10, [&] { return pool->degraded(); }));
  EXPECT_THAT(pool->degraded_reason(),
              AllOf(HasSubstr("could not fork"), HasSubstr("starts of workers in a row failed")));
  EXPECT_EQ(Starts(), 0U);
  Cure();
  pool->Reload();
  EXPECT_TRUE(RunUntilReady(2));
  EXPECT_FALSE(pool->degraded());
}

TEST_F(PoolFaultTest, AWorkerThatItsZygoteReapedBeforeItSpokeIsAFailedStart) {
  StartPool(Spec("reaps-early", "good", 1));
  ASSERT_TRUE(RunUntil([&] { return owner.ended.size() == 1; }));
  EXPECT_EQ(owner.ended.front().exit.reason, ExitReason::kStartFailed);
  EXPECT_EQ(WTERMSIG(owner.ended.front().exit.wait_status.value()), SIGKILL);
}

TEST_F(PoolFaultTest, AWorkerThatWasForkedButNotAnnouncedIsEnded) {
  StartPool(Spec("dies-unannounced", "good", 1));
  ASSERT_TRUE(RunUntil([&] { return owner.Logged("exited with code 4"); }));
  EXPECT_TRUE(owner.ended.empty());
  CureAndExpectFullPool(1);  // the test bed checks that nothing is left
}

TEST_F(PoolFaultTest, AZygoteThatNeverReapsIsKilledAndTheExitStatusIsNotLost) {
  StartPool(Spec("never-reaps", "good", 2));
  ASSERT_TRUE(RunUntilReady(2));
  SendTask(*owner.ready.front(), 1, "exit:9");
  ASSERT_TRUE(RunUntilReady(3));  // replaced already, but not settled
  EXPECT_TRUE(owner.ended.empty());
  Cure();
  Advance(absl::Seconds(3));
  ASSERT_TRUE(RunUntil([&] { return owner.Logged("does not say how"); }));
  ASSERT_TRUE(RunUntil([&] { return !owner.ended.empty() && owner.ready.size() == 2; }));
  EXPECT_EQ(WEXITSTATUS(owner.ended.front().exit.wait_status.value()), 9);
}

TEST_F(PoolFaultTest, AStoppedZygoteDoesNotHideAWorkersDeath) {
  StartPool(Spec("good", "good", 2));
  ASSERT_TRUE(RunUntilReady(2));
  ASSERT_EQ(kill(pool->zygote_pid(), SIGSTOP), 0);
  Worker& victim = *owner.ready.front();
  ASSERT_EQ(kill(victim.pid(), SIGKILL), 0);
  ASSERT_TRUE(RunUntil([&] { return !victim.ready(); }));
  EXPECT_TRUE(owner.ended.empty());
  Advance(absl::Seconds(3));
  ASSERT_TRUE(RunUntil([&] { return !owner.ended.empty() && owner.ready.size() == 2; }));
  EXPECT_EQ(WTERMSIG(owner.ended.front().exit.wait_status.value()), SIGKILL);
}

TEST_F(PoolFaultTest, WorkersOfADeadZygoteFinishWhatTheyHaveAndAreReplaced) {
  StartPool(Spec("good", "good", 2));
  ASSERT_TRUE(RunUntilReady(2));
  owner.retire_at_once = false;
  const pid_t zygote = pool->zygote_pid();
  ASSERT_EQ(kill(zygote, SIGKILL), 0);
  ASSERT_TRUE(RunUntil([&] { return owner.wanted.size() == 2 && owner.ready.size() == 2; }));
  EXPECT_NE(pool->zygote_pid(), zygote);
  EXPECT_FALSE(pool->degraded());
  // An adopted worker still works, and its exit status comes to us.
  Worker& adopted = *owner.wanted.front();
  SendTask(adopted, 1, "done");
  ASSERT_TRUE(RunUntil([&] { return owner.finished.size() == 1; }));
  SendTask(adopted, 2, "exit:6");
  ASSERT_TRUE(RunUntil([&] { return owner.ended.size() == 1; }));
  EXPECT_EQ(WEXITSTATUS(owner.ended.front().exit.wait_status.value()), 6);
  EXPECT_GT(owner.ended.front().exit.peak_rss_bytes, 0U);
  pool->RetireWorker(*owner.wanted.front());
  ASSERT_TRUE(RunUntil([&] { return owner.ended.size() == 2; }));
  EXPECT_EQ(owner.ended.back().exit.reason, ExitReason::kRecycled);
  EXPECT_EQ(WEXITSTATUS(owner.ended.back().exit.wait_status.value()), 0);
}

TEST_F(PoolFaultTest, AZygoteThatIgnoresShutdownIsKilledAfterTheGrace) {
  StartPool(Spec("ignores-shutdown", "good", 1));
  ASSERT_TRUE(RunUntilReady(1));
  bool done = false;
  pool->Shutdown(absl::Seconds(4), [&] { done = true; });
  ASSERT_TRUE(RunUntil([&] { return owner.ended.size() == 1; }));
  EXPECT_FALSE(done);
  Advance(absl::Seconds(5));
  EXPECT_TRUE(RunUntil([&] { return done; }));
  pool.reset();
}

// --- workers ------------------------------------------------------------------------------------

TEST_F(PoolFaultTest, AWorkerThatHangsAtItsStartIsKilledAndCounted) {
  StartPool(Spec("good", "never-ready", 1));
  ASSERT_TRUE(RunUntil([&] { return pool->workers().size() == 1; }));
  Advance(absl::Seconds(31));
  ASSERT_TRUE(RunUntil([&] { return owner.ended.size() == 1; }));
  EXPECT_EQ(owner.ended.front().exit.reason, ExitReason::kStartFailed);
  EXPECT_THAT(owner.ended.front().exit.detail, HasSubstr("not ready within start_timeout"));
  CureAndExpectFullPool(1);
}

TEST_F(PoolFaultTest, WorkersThatAlwaysDieDegradeThePoolAndStartSlowlyUntilCured) {
  StartPool(Spec("good", "dies", 2));
  ASSERT_TRUE(AdvanceUntil(absl::Seconds(1), 20, [&] { return pool->degraded(); }));
  EXPECT_THAT(pool->degraded_reason(),
              AllOf(HasSubstr("exited with code 5"), HasSubstr("no licence found"),
                    HasSubstr("starts of workers in a row failed")));
  for (const auto& ended : owner.ended) EXPECT_EQ(ended.exit.reason, ExitReason::kStartFailed);
  EXPECT_LE(Starts(), 6U);
  // A minute of it: at most the pace of two slots at 30 s, plus what their growing delays allow.
  const size_t before = Starts();
  EXPECT_FALSE(AdvanceUntil(absl::Seconds(5), 12, [&] { return Starts() > before + 8; }));
  EXPECT_GT(Starts(), before) << "it gave up";
  CureAndExpectFullPool(2);
}

TEST_F(PoolFaultTest, ASlotWhoseStartFailedWaitsASecond) {
  StartPool(Spec("good", "dies", 1));
  ASSERT_TRUE(RunUntil([&] { return owner.ended.size() == 1; }));
  Advance(absl::Milliseconds(900));
  loop->RunOnce(20'000'000);
  EXPECT_EQ(Starts(), 1U);
  Advance(absl::Milliseconds(200));
  EXPECT_TRUE(RunUntil([&] { return Starts() == 2; }));
}

TEST_F(PoolFaultTest, OneDeathInTenDoesNotDegradeThePool) {
  StartPool(Spec("good", "dies-one-in-ten", 3));
  for (int round = 0; round < 12; ++round) {
    ASSERT_TRUE(AdvanceUntil(absl::Seconds(1), 20, [&] { return owner.ready.size() == 3; }));
    EXPECT_FALSE(pool->degraded()) << pool->degraded_reason();
    Worker& worker = *owner.ready.front();
    SendTask(worker, 1, "done");
    SendTask(worker, 2, "exit:1");
    ASSERT_TRUE(
        RunUntil([&] { return std::count(owner.ready.begin(), owner.ready.end(), &worker) == 0; }));
  }
}

TEST_F(PoolFaultTest, WorkersThatDieYoungArePacedAndDegradeThePoolUntilOneProvesItself) {
  StartPool(Spec("good", "dies-young", 1));
  // Bad luck is replaced at once, three times.
  ASSERT_TRUE(RunUntil([&] { return owner.ended.size() == 4; }));
  loop->RunOnce(20'000'000);
  EXPECT_EQ(Starts(), 4U);
  EXPECT_FALSE(pool->degraded());
  ASSERT_TRUE(AdvanceUntil(absl::Seconds(10), 40, [&] { return pool->degraded(); }));
  EXPECT_THAT(pool->degraded_reason(), HasSubstr("died right after they were ready"));
  CureAndExpectFullPool(1);
}

TEST_F(PoolFaultTest, AFinishedTaskProvesAWorker) {
  StartPool(Spec("good", "good", 1));
  for (uint64_t round = 1; round <= 10; ++round) {  // without moving time: never paced
    ASSERT_TRUE(RunUntilReady(1));
    SendTask(*owner.ready.front(), round, "done");
    SendTask(*owner.ready.front(), round, "abort");
    ASSERT_TRUE(RunUntil([&] { return owner.ended.size() == round; }));
  }
  EXPECT_TRUE(RunUntilReady(1));
}

TEST_F(PoolFaultTest, WorkersStoppedForTheirTaskAreNeverPaced) {
  StartPool(Spec("good", "good", 1));
  for (size_t round = 1; round <= 10; ++round) {
    ASSERT_TRUE(RunUntilReady(1));
    owner.ready.front()->Kill(ExitReason::kTaskStopped, "cancelled");
    ASSERT_TRUE(RunUntil([&] { return owner.ended.size() == round; }));
  }
  EXPECT_TRUE(RunUntilReady(1));
  EXPECT_EQ(pool->unexpected_exits(), 0U);
}

TEST_F(PoolFaultTest, ADedicatedWorkerThatDiesBeforeItIsReadyIsReportedTwice) {
  StartPool(Spec("good", "dies", 1));
  pool->StartDedicated(8);
  ASSERT_TRUE(RunUntil([&] { return owner.dedicated_failures.size() == 1; }));
  EXPECT_EQ(owner.dedicated_failures.front().first, 8U);
  EXPECT_THAT(std::string(owner.dedicated_failures.front().second.message()),
              HasSubstr("no licence found"));
  EXPECT_TRUE(std::any_of(owner.ended.begin(), owner.ended.end(), [](const auto& ended) {
    return ended.dedicated && ended.exit.reason == ExitReason::kStartFailed;
  }));
}

struct Violation {
  const char* mode;
  const char* complaint;
};

class ViolationTest : public PoolFaultTest, public ::testing::WithParamInterface<Violation> {};

TEST_P(ViolationTest, KillsTheWorkerAndSaysWhy) {
  StartPool(Spec("good", GetParam().mode, 1));
  ASSERT_TRUE(AdvanceUntil(absl::Seconds(1), 10, [&] { return !owner.ended.empty(); }));
  EXPECT_EQ(owner.ended.front().exit.reason, ExitReason::kProtocolViolation);
  EXPECT_THAT(owner.ended.front().exit.detail, HasSubstr(GetParam().complaint));
  CureAndExpectFullPool(1);
}

INSTANTIATE_TEST_SUITE_P(AllKinds, ViolationTest,
                         ::testing::Values(Violation{"wrong-name", "unexpected WORKER_READY"},
                                           Violation{"ready-twice", "unexpected WORKER_READY"},
                                           Violation{"garbage", "nonsense on its control socket"},
                                           Violation{"closes-control", "closed its control"}),
                         [](const auto& info) {
                           std::string name = info.param.mode;
                           name.erase(std::remove(name.begin(), name.end(), '-'), name.end());
                           return name;
                         });

// --- resources run out --------------------------------------------------------------------------

// Leaves this process with `spare` free descriptors while it lives; at least two, as UBSan looks at
// memory through a pipe.
class ScarceDescriptors {
 public:
  explicit ScarceDescriptors(rlim_t spare) {
    getrlimit(RLIMIT_NOFILE, &before_);
    const os::Fd next(dup(STDIN_FILENO));
    const rlimit scarce = {static_cast<rlim_t>(next.get()) + spare, before_.rlim_max};
    setrlimit(RLIMIT_NOFILE, &scarce);
  }
  ~ScarceDescriptors() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_ = {};
};

TEST_F(PoolFaultTest, WithoutDescriptorsForAZygoteThePoolSaysSoAndTriesAgain) {
  {
    const ScarceDescriptors scarce(4);  // a zygote takes five
    StartPool(Spec("good", "good", 1));
    EXPECT_TRUE(pool->degraded());
    EXPECT_THAT(pool->degraded_reason(), HasSubstr("Too many open files"));
  }
  CureAndExpectFullPool(1);
}

TEST_F(PoolFaultTest, WithoutDescriptorsForWorkersThePoolSaysSoAndTriesAgain) {
  StartPool(Spec("good", "good", 1));
  ASSERT_TRUE(RunUntilReady(1));
  {
    const ScarceDescriptors scarce(4);  // a worker takes nine until it has its own
    pool->Resize(8);
    ASSERT_TRUE(AdvanceUntil(absl::Seconds(1), 10, [&] { return pool->degraded(); }));
    EXPECT_THAT(pool->degraded_reason(), HasSubstr("Too many open files"));
    EXPECT_EQ(owner.ready.size(), 1U);
  }
  CureAndExpectFullPool(8);
}

}  // namespace
}  // namespace prefork::pool
