#include "server/pool/exit_verdict.h"

#include <gmock/gmock.h>
#include <signal.h>

namespace prefork::pool {
namespace {

using ::testing::HasSubstr;

constexpr int Exited(int code) { return code << 8; }

ExitFacts ReadyWorker(int wait_status) {
  ExitFacts facts;
  facts.wait_status = wait_status;
  facts.was_ready = true;
  return facts;
}

TEST(ExitVerdictTest, AnEndThatNobodyAskedForIsACrashEvenWithCodeZero) {
  EXPECT_EQ(JudgeExit(ReadyWorker(Exited(0))).reason, ExitReason::kCrashed);
  EXPECT_EQ(JudgeExit(ReadyWorker(Exited(7))).reason, ExitReason::kCrashed);
  const WorkerExit exit = JudgeExit(ReadyWorker(SIGSEGV));
  EXPECT_EQ(exit.reason, ExitReason::kCrashed);
  EXPECT_EQ(exit.detail, "killed by signal 11 (SIGSEGV)");
}

TEST(ExitVerdictTest, TheReasonOfAKillWinsOverEverything) {
  ExitFacts facts = ReadyWorker(SIGKILL);
  facts.asked = ExitReason::kTaskStopped;
  facts.asked_detail = "its task timed out";
  facts.retired = ExitReason::kRecycled;
  const WorkerExit exit = JudgeExit(facts);
  EXPECT_EQ(exit.reason, ExitReason::kTaskStopped);
  EXPECT_EQ(exit.detail, "its task timed out; killed by signal 9 (SIGKILL)");
}

TEST(ExitVerdictTest, RetirementCountsOnlyWhenTheWorkerEndedWell) {
  ExitFacts facts = ReadyWorker(Exited(0));
  facts.retired = ExitReason::kScaledDown;
  EXPECT_EQ(JudgeExit(facts).reason, ExitReason::kScaledDown);
  facts.wait_status = SIGSEGV;
  EXPECT_EQ(JudgeExit(facts).reason, ExitReason::kCrashed);
}

TEST(ExitVerdictTest, ShutdownExplainsEveryEnd) {
  ExitFacts facts = ReadyWorker(SIGTERM);
  facts.retired = ExitReason::kShutdown;
  EXPECT_EQ(JudgeExit(facts).reason, ExitReason::kShutdown);
}

TEST(ExitVerdictTest, BeforeReadyItIsAFailedStart) {
  ExitFacts facts;
  facts.wait_status = Exited(3);
  EXPECT_EQ(JudgeExit(facts).reason, ExitReason::kStartFailed);
  EXPECT_EQ(JudgeExit(facts).detail, "exited with code 3 before it was ready");
}

TEST(ExitVerdictTest, OutOfMemoryNeedsProofAndNamesTheCure) {
  ExitFacts facts = ReadyWorker(SIGKILL);
  EXPECT_EQ(JudgeExit(facts).reason, ExitReason::kCrashed);
  EXPECT_FALSE(JudgeExit(facts).out_of_memory);
  facts.oom_kill_counted = true;
  EXPECT_EQ(JudgeExit(facts).reason, ExitReason::kOutOfMemory);
  EXPECT_TRUE(JudgeExit(facts).out_of_memory);
  EXPECT_THAT(JudgeExit(facts).detail, HasSubstr("more memory"));
}

TEST(ExitVerdictTest, OnlySigkillsThatNobodySentAreUnexplained) {
  EXPECT_TRUE(IsUnexplainedKill(ReadyWorker(SIGKILL)));
  EXPECT_FALSE(IsUnexplainedKill(ReadyWorker(SIGTERM)));
  EXPECT_FALSE(IsUnexplainedKill(ReadyWorker(Exited(137))));
  ExitFacts asked = ReadyWorker(SIGKILL);
  asked.asked = ExitReason::kTaskStopped;
  EXPECT_FALSE(IsUnexplainedKill(asked));
  EXPECT_FALSE(IsUnexplainedKill(ExitFacts()));
}

TEST(ExitVerdictTest, ADedicatedWorkerEndsByExitingAndCrashesBySignal) {
  ExitFacts facts = ReadyWorker(Exited(3));
  facts.dedicated = true;
  EXPECT_EQ(JudgeExit(facts).reason, ExitReason::kDedicatedDone);
  facts.wait_status = SIGABRT;
  EXPECT_EQ(JudgeExit(facts).reason, ExitReason::kCrashed);
}

TEST(ExitVerdictTest, ALostStatusIsCalledLost) {
  ExitFacts facts;
  facts.was_ready = true;
  const WorkerExit exit = JudgeExit(facts);
  EXPECT_FALSE(exit.wait_status.has_value());
  EXPECT_THAT(exit.detail, HasSubstr("lost with its zygote"));
}

}  // namespace
}  // namespace prefork::pool
