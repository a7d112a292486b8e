// Workers that never get ready, die too often or break their protocol.
#include <gmock/gmock.h>

#include <algorithm>
#include <cstdint>
#include <string>

#include "server/pool/worker_pool.h"
#include "tests/server/pool/pool_fault_bed.h"

namespace prefork::pool {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class WorkerFaultTest : public PoolFaultBed {};

TEST_F(WorkerFaultTest, AWorkerThatHangsAtItsStartIsKilledAndCounted) {
  StartPool(Spec("good", "never-ready", 1));
  ASSERT_TRUE(RunUntil([&] { return pool->workers().size() == 1; }));
  Advance(absl::Seconds(31));
  ASSERT_TRUE(RunUntil([&] { return owner.ended.size() == 1; }));
  EXPECT_EQ(owner.ended.front().exit.reason, ExitReason::kStartFailed);
  EXPECT_THAT(owner.ended.front().exit.detail, HasSubstr("not ready within start_timeout"));
  CureAndExpectFullPool(1);
}

TEST_F(WorkerFaultTest, WorkersThatAlwaysDieDegradeThePoolAndStartSlowlyUntilCured) {
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

TEST_F(WorkerFaultTest, ASlotWhoseStartFailedWaitsASecond) {
  StartPool(Spec("good", "dies", 1));
  ASSERT_TRUE(RunUntil([&] { return owner.ended.size() == 1; }));
  Advance(absl::Milliseconds(900));
  loop->RunOnce(20'000'000);
  EXPECT_EQ(Starts(), 1U);
  Advance(absl::Milliseconds(200));
  EXPECT_TRUE(RunUntil([&] { return Starts() == 2; }));
}

TEST_F(WorkerFaultTest, OneDeathInTenDoesNotDegradeThePool) {
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

TEST_F(WorkerFaultTest, WorkersThatDieYoungArePacedAndDegradeThePoolUntilOneProvesItself) {
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

TEST_F(WorkerFaultTest, AFinishedTaskProvesAWorker) {
  StartPool(Spec("good", "good", 1));
  for (uint64_t round = 1; round <= 10; ++round) {  // without moving time: never paced
    ASSERT_TRUE(RunUntilReady(1));
    SendTask(*owner.ready.front(), round, "done");
    SendTask(*owner.ready.front(), round, "abort");
    ASSERT_TRUE(RunUntil([&] { return owner.ended.size() == round; }));
  }
  EXPECT_TRUE(RunUntilReady(1));
}

TEST_F(WorkerFaultTest, WorkersStoppedForTheirTaskAreNeverPaced) {
  StartPool(Spec("good", "good", 1));
  for (size_t round = 1; round <= 10; ++round) {
    ASSERT_TRUE(RunUntilReady(1));
    owner.ready.front()->Kill(ExitReason::kTaskStopped, "cancelled");
    ASSERT_TRUE(RunUntil([&] { return owner.ended.size() == round; }));
  }
  EXPECT_TRUE(RunUntilReady(1));
  EXPECT_EQ(pool->unexpected_exits(), 0U);
}

TEST_F(WorkerFaultTest, ADedicatedWorkerThatDiesBeforeItIsReadyIsReportedTwice) {
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

class ViolationTest : public WorkerFaultTest, public ::testing::WithParamInterface<Misdeed> {};

TEST_P(ViolationTest, KillsTheWorkerAndSaysWhy) {
  StartPool(Spec("good", GetParam().mode, 1));
  ASSERT_TRUE(AdvanceUntil(absl::Seconds(1), 10, [&] { return !owner.ended.empty(); }));
  EXPECT_EQ(owner.ended.front().exit.reason, ExitReason::kProtocolViolation);
  EXPECT_THAT(owner.ended.front().exit.detail, HasSubstr(GetParam().complaint));
  CureAndExpectFullPool(1);
}

INSTANTIATE_TEST_SUITE_P(AllKinds, ViolationTest,
                         ::testing::Values(Misdeed{"wrong-name", "unexpected WORKER_READY"},
                                           Misdeed{"ready-twice", "unexpected WORKER_READY"},
                                           Misdeed{"garbage", "nonsense on its control socket"},
                                           Misdeed{"closes-control", "closed its control"}),
                         NameOfMisdeed);

}  // namespace
}  // namespace prefork::pool
