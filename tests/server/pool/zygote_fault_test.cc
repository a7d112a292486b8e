// Zygotes that never get ready, talk nonsense or stop working.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <string>

#include "absl/strings/match.h"
#include "server/pool/worker_pool.h"
#include "tests/server/pool/pool_fault_bed.h"

namespace prefork::pool {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class ZygoteFaultTest : public PoolFaultBed {};

// --- zygotes that never get ready ---------------------------------------------------------------

TEST_F(ZygoteFaultTest, AZygoteThatHangsAtItsStartIsKilledAndCounted) {
  StartPool(Spec("never-ready", "good", 2));
  EXPECT_FALSE(pool->degraded());
  Advance(absl::Seconds(31));
  ASSERT_TRUE(RunUntil([&] { return pool->degraded(); }));
  EXPECT_THAT(pool->degraded_reason(),
              AllOf(HasSubstr("not ready within start_timeout"), HasSubstr("tries again")));
  EXPECT_EQ(pool->zygote_pid(), 0);
  CureAndExpectFullPool(2);
}

TEST_F(ZygoteFaultTest, AZygoteThatDiesAtItsStartIsQuotedAndRetriedNotBeforeASecond) {
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

TEST_F(ZygoteFaultTest, AZygoteThatSaysFailedIsQuoted) {
  StartPool(Spec("fails", "good", 1));
  ASSERT_TRUE(RunUntil([&] { return pool->degraded(); }));
  EXPECT_THAT(pool->degraded_reason(), HasSubstr("module /lib/missing.so: no such file"));
  CureAndExpectFullPool(1);
}

TEST_F(ZygoteFaultTest, AZygoteProgramThatIsMissingIsNamed) {
  PoolSpec spec = Spec("good", "good", 1);
  spec.zygote_command = {"/no/such/zygote"};
  StartPool(spec);
  EXPECT_TRUE(pool->degraded());
  EXPECT_THAT(pool->degraded_reason(),
              AllOf(HasSubstr("/no/such/zygote"), HasSubstr("No such file or directory")));
}

TEST_F(ZygoteFaultTest, DedicatedRequestsFailWhenTheZygoteCanNotBeStarted) {
  StartPool(Spec("dies", "good", 1));
  pool->StartDedicated(5);
  ASSERT_TRUE(RunUntil([&] { return owner.dedicated_failures.size() == 1; }));
  EXPECT_TRUE(absl::IsUnavailable(owner.dedicated_failures.front().second));
  pool->StartDedicated(6);
  ASSERT_TRUE(RunUntil([&] { return owner.dedicated_failures.size() == 2; }));
}

// --- zygotes that talk nonsense -----------------------------------------------------------------

class NonsenseTest : public ZygoteFaultTest, public ::testing::WithParamInterface<Misdeed> {};

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
                         ::testing::Values(Misdeed{"garbage", "broke the zygote protocol"},
                                           Misdeed{"oversize", "broke the zygote protocol"},
                                           Misdeed{"ready-twice", "a second READY"},
                                           Misdeed{"exited-unknown", "which it has not forked"},
                                           Misdeed{"forked-twice", "which was not asked for"},
                                           Misdeed{"no-pidfd", "descriptor"},
                                           Misdeed{"names-the-daemon", "which is not its child"},
                                           Misdeed{"exited-alive", "which lives"}),
                         NameOfMisdeed);

// --- zygotes that stop working ------------------------------------------------------------------

TEST_F(ZygoteFaultTest, AZygoteThatClosesItsSocketButLivesIsKilled) {
  StartPool(Spec("closes-socket", "good", 1));
  ASSERT_TRUE(AdvanceUntil(absl::Seconds(1), 10,
                           [&] { return owner.Logged("closed its socket but did not end"); }));
  CureAndExpectFullPool(1);
}

TEST_F(ZygoteFaultTest, AZygoteThatDoesNotAnswerForkIsKilled) {
  StartPool(Spec("mute", "good", 2));
  ASSERT_TRUE(RunUntil([&] { return pool->zygote_pid() > 0; }));
  Advance(absl::Seconds(31));
  ASSERT_TRUE(RunUntil([&] { return owner.Logged("did not answer FORK"); }));
  CureAndExpectFullPool(2);
}

TEST_F(ZygoteFaultTest, AZygoteThatCanNotForkDegradesThePoolUntilItCan) {
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

TEST_F(ZygoteFaultTest, AWorkerThatItsZygoteReapedBeforeItSpokeIsAFailedStart) {
  StartPool(Spec("reaps-early", "good", 1));
  ASSERT_TRUE(RunUntil([&] { return owner.ended.size() == 1; }));
  EXPECT_EQ(owner.ended.front().exit.reason, ExitReason::kStartFailed);
  EXPECT_EQ(WTERMSIG(owner.ended.front().exit.wait_status.value()), SIGKILL);
}

TEST_F(ZygoteFaultTest, AWorkerThatWasForkedButNotAnnouncedIsEnded) {
  StartPool(Spec("dies-unannounced", "good", 1));
  ASSERT_TRUE(RunUntil([&] { return owner.Logged("exited with code 4"); }));
  EXPECT_TRUE(owner.ended.empty());
  CureAndExpectFullPool(1);  // the test bed checks that nothing is left
}

TEST_F(ZygoteFaultTest, AZygoteThatNeverReapsIsKilledAndTheExitStatusIsNotLost) {
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

TEST_F(ZygoteFaultTest, AStoppedZygoteDoesNotHideAWorkersDeath) {
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

TEST_F(ZygoteFaultTest, WorkersOfADeadZygoteFinishWhatTheyHaveAndAreReplaced) {
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

TEST_F(ZygoteFaultTest, AZygoteThatIgnoresShutdownIsKilledAfterTheGrace) {
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

}  // namespace
}  // namespace prefork::pool
