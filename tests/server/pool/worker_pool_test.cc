#include "server/pool/worker_pool.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/os/process_stats.h"
#include "common/os/process_tree.h"
#include "common/shm/segment.h"
#include "tests/server/pool/pool_test_bed.h"

namespace prefork::pool {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

class WorkerPoolTest : public PoolTestBed {};

TEST_F(WorkerPoolTest, StartsAsManyWorkersAsItsSizeWithoutBeingAsked) {
  StartPool(Spec("good", "good", 3));
  ASSERT_TRUE(RunUntilReady(3));
  EXPECT_EQ(pool->workers().size(), 3U);
  EXPECT_EQ(pool->starting(), 0U);
  EXPECT_GT(pool->zygote_pid(), 0);
  EXPECT_FALSE(pool->degraded());
  EXPECT_THAT(pool->functions(), ElementsAre("square\tSquares a number", "cube\t"));
}

TEST_F(WorkerPoolTest, ReplacesAKilledWorkerAtOnceAndReportsItsEnd) {
  StartPool(Spec("good", "good", 2));
  ASSERT_TRUE(RunUntilReady(2));
  Worker& victim = *owner.ready.front();
  const uint32_t index = victim.index();
  ASSERT_EQ(kill(victim.pid(), SIGKILL), 0);
  // The clock stands still: no pacing delays the replacement.
  ASSERT_TRUE(RunUntil([&] { return owner.ended.size() == 1 && owner.ready.size() == 2; }));
  const auto& ended = owner.ended.front();
  EXPECT_EQ(ended.index, index);
  EXPECT_EQ(ended.generation, 1U);
  EXPECT_EQ(ended.exit.reason, ExitReason::kCrashed);
  ASSERT_TRUE(ended.exit.wait_status.has_value());
  EXPECT_EQ(WTERMSIG(*ended.exit.wait_status), SIGKILL);
  EXPECT_FALSE(ended.exit.out_of_memory);
  EXPECT_GT(ended.exit.peak_rss_bytes, 0U);
  EXPECT_EQ(pool->unexpected_exits(), 1U);
}

TEST_F(WorkerPoolTest, ReportsTheExitCodeOfAWorkerThatExits) {
  StartPool(Spec("good", "good", 1));
  ASSERT_TRUE(RunUntilReady(1));
  SendTask(*owner.ready.front(), 1, "exit:7");
  ASSERT_TRUE(RunUntil([&] { return owner.ended.size() == 1; }));
  EXPECT_EQ(owner.ended.front().exit.reason, ExitReason::kCrashed);
  EXPECT_EQ(WEXITSTATUS(*owner.ended.front().exit.wait_status), 7);
  EXPECT_EQ(owner.ended.front().exit.detail, "exited with code 7");
  EXPECT_TRUE(RunUntilReady(1));
}

TEST_F(WorkerPoolTest, DeliversResultsThatAWorkerWroteBeforeItDied) {
  StartPool(Spec("good", "good", 1));
  ASSERT_TRUE(RunUntilReady(1));
  Worker& worker = *owner.ready.front();
  for (uint64_t id = 1; id <= 20; ++id) SendTask(worker, id, "done");
  SendTask(worker, 21, "abort");
  ASSERT_TRUE(RunUntil([&] { return owner.ended.size() == 1; }));
  EXPECT_EQ(owner.finished.size(), 20U);
  EXPECT_EQ(WTERMSIG(*owner.ended.front().exit.wait_status), SIGABRT);
}

TEST_F(WorkerPoolTest, NamesTheTaskThatOutputBelongsTo) {
  StartPool(Spec("good", "good", 1));
  ASSERT_TRUE(RunUntilReady(1));
  SendTask(*owner.ready.front(), 42, "print:hello");
  ASSERT_TRUE(RunUntil([&] { return !owner.outputs.empty(); }));
  EXPECT_EQ(owner.outputs.front().bytes, "hello");
  EXPECT_EQ(owner.outputs.front().task_id, 42U);
  EXPECT_EQ(owner.outputs.front().stream, STDOUT_FILENO);
}

TEST_F(WorkerPoolTest, LosesNoOutputOfAWorkerThatExitsRightAfterPrinting) {
  StartPool(Spec("good", "good", 1));
  ASSERT_TRUE(RunUntilReady(1));
  const std::string text(3000, 'x');
  for (uint64_t id = 1; id <= 10; ++id) SendTask(*owner.ready.front(), id, "print:" + text);
  SendTask(*owner.ready.front(), 11, "exit:0");
  ASSERT_TRUE(RunUntil([&] { return owner.ended.size() == 1; }));
  size_t bytes = 0;
  for (const auto& output : owner.outputs) bytes += output.bytes.size();
  EXPECT_EQ(bytes, 30'000U);
}

TEST_F(WorkerPoolTest, KillTakesTheWholeTreeAndKeepsTheReason) {
  StartPool(Spec("good", "good", 1));
  ASSERT_TRUE(RunUntilReady(1));
  Worker& worker = *owner.ready.front();
  SendTask(worker, 1, "spawn");
  ASSERT_TRUE(RunUntil([&] { return owner.finished.size() == 1; }));
  const std::vector<pid_t> grandchildren = os::ListChildren(worker.pid());
  ASSERT_EQ(grandchildren.size(), 1U);
  worker.Kill(ExitReason::kTaskStopped, "its task timed out");
  ASSERT_TRUE(RunUntil([&] { return owner.ended.size() == 1; }));
  EXPECT_EQ(kill(grandchildren.front(), 0), -1) << "the grandchild outlived OnWorkerExited";
  EXPECT_EQ(owner.ended.front().exit.reason, ExitReason::kTaskStopped);
  EXPECT_THAT(owner.ended.front().exit.detail, HasSubstr("its task timed out"));
  EXPECT_EQ(pool->unexpected_exits(), 0U);
  EXPECT_TRUE(RunUntilReady(1));
}

TEST_F(WorkerPoolTest, ACrashedWorkersGrandchildIsGoneBeforeItsExitIsReported) {
  StartPool(Spec("good", "good", 1));
  ASSERT_TRUE(RunUntilReady(1));
  Worker& worker = *owner.ready.front();
  SendTask(worker, 1, "spawn");
  ASSERT_TRUE(RunUntil([&] { return owner.finished.size() == 1; }));
  const std::vector<pid_t> grandchildren = os::ListChildren(worker.pid());
  ASSERT_EQ(grandchildren.size(), 1U);
  SendTask(worker, 2, "abort");
  ASSERT_TRUE(RunUntil([&] { return owner.ended.size() == 1; }));
  EXPECT_EQ(kill(grandchildren.front(), 0), -1);
}

TEST_F(WorkerPoolTest, SignalTreeSparesTheWorkerUnlessItIsIncluded) {
  StartPool(Spec("good", "good", 1));
  ASSERT_TRUE(RunUntilReady(1));
  Worker& worker = *owner.ready.front();
  SendTask(worker, 1, "spawn");
  ASSERT_TRUE(RunUntil([&] { return owner.finished.size() == 1; }));
  ASSERT_TRUE(worker.SignalTree(SIGKILL, /*include_worker=*/false).ok());
  ASSERT_TRUE(RunUntil([&] {
    const auto children = os::ListChildren(worker.pid());
    const auto stats =
        children.empty() ? absl::NotFoundError("") : os::ReadProcessStats(children[0]);
    return !stats.ok() || stats->state == 'Z';
  }));
  EXPECT_TRUE(owner.ended.empty());
  ASSERT_TRUE(worker.SignalTree(SIGTERM, /*include_worker=*/true).ok());
  ASSERT_TRUE(RunUntil([&] { return owner.ended.size() == 1; }));
  EXPECT_EQ(WTERMSIG(*owner.ended.front().exit.wait_status), SIGTERM);
}

TEST_F(WorkerPoolTest, LendsSegmentsUntilTheyAreReleasedOrTheWorkerDies) {
  auto segments = shm::SegmentPool::Create({});
  StartPool(Spec("good", "good", 1));
  ASSERT_TRUE(RunUntilReady(1));
  Worker& worker = *owner.ready.front();
  shm::SegmentRef first = *segments->Lease(100'000, 0);
  shm::SegmentRef second = *segments->Lease(100'000, 0);
  const uint64_t first_id = first->id();
  const uint64_t second_id = second->id();
  ASSERT_TRUE(worker.SendSegment(first).ok());
  SendTask(worker, 1, "ask:100000");
  ASSERT_TRUE(RunUntil([&] { return !owner.segment_requests.empty(); }));
  EXPECT_THAT(owner.segment_requests, ElementsAre(100'000U));
  ASSERT_TRUE(worker.GrantSegment(second).ok());
  first.reset();
  second.reset();
  EXPECT_NE(worker.FindSegment(first_id), nullptr);
  EXPECT_NE(worker.FindSegment(second_id), nullptr);
  EXPECT_EQ(worker.FindSegment(4711), nullptr);
  worker.ReleaseSegment(first_id);
  EXPECT_EQ(worker.FindSegment(first_id), nullptr);
  EXPECT_GT(segments->leased_bytes(), 0U);
  ASSERT_EQ(kill(worker.pid(), SIGKILL), 0);
  ASSERT_TRUE(RunUntil([&] { return owner.ended.size() == 1; }));
  EXPECT_EQ(segments->leased_bytes(), 0U);
}

TEST_F(WorkerPoolTest, ASecondSegmentRequestBeforeTheAnswerIsAViolation) {
  StartPool(Spec("good", "good", 1));
  ASSERT_TRUE(RunUntilReady(1));
  SendTask(*owner.ready.front(), 1, "ask:1");
  SendTask(*owner.ready.front(), 2, "ask:1");
  ASSERT_TRUE(RunUntil([&] { return owner.ended.size() == 1; }));
  EXPECT_EQ(owner.ended.front().exit.reason, ExitReason::kProtocolViolation);
  EXPECT_THAT(owner.ended.front().exit.detail, HasSubstr("SEGMENT_REQUEST"));
}

TEST_F(WorkerPoolTest, RecyclesAfterMaxTasksWithTheReplacementReadyFirst) {
  PoolSpec spec = Spec("good", "good", 1);
  spec.max_tasks_per_worker = 3;
  StartPool(spec);
  ASSERT_TRUE(RunUntilReady(1));
  for (uint64_t id = 1; id <= 3; ++id) SendTask(*owner.ready.front(), id, "done");
  ASSERT_TRUE(RunUntil([&] { return owner.ended.size() == 1; }));
  EXPECT_THAT(owner.events, ElementsAre("starting 0.1", "ready 0.1", "starting 0.2", "ready 0.2",
                                        "retire 0.1", "exited 0.1"));
  EXPECT_EQ(owner.ended.front().exit.reason, ExitReason::kRecycled);
  EXPECT_EQ(pool->unexpected_exits(), 0U);
}

TEST_F(WorkerPoolTest, RecyclesByResidentMemory) {
  PoolSpec spec = Spec("good", "good", 1);
  spec.max_worker_rss_bytes = 1;  // every process has more
  StartPool(spec);
  ASSERT_TRUE(RunUntilReady(1));
  SendTask(*owner.ready.front(), 1, "done");
  ASSERT_TRUE(RunUntil([&] { return owner.ended.size() == 1; }));
  EXPECT_EQ(owner.ended.front().exit.reason, ExitReason::kRecycled);
}

TEST_F(WorkerPoolTest, RecyclesByAge) {
  PoolSpec spec = Spec("good", "good", 1);
  spec.max_worker_age = absl::Minutes(10);
  StartPool(spec);
  ASSERT_TRUE(RunUntilReady(1));
  Advance(absl::Minutes(9));
  Advance(absl::Minutes(1));
  ASSERT_TRUE(RunUntil([&] { return owner.ended.size() == 1; }));
  EXPECT_EQ(owner.ended.front().exit.reason, ExitReason::kRecycled);
  EXPECT_TRUE(RunUntilReady(1));
}

TEST_F(WorkerPoolTest, KillsAWorkerThatDoesNotRetire) {
  StartPool(Spec("good", "ignores-retirement", 1));
  ASSERT_TRUE(RunUntilReady(1));
  Worker& worker = *owner.ready.front();
  pool->RetireWorker(worker);
  ASSERT_TRUE(RunUntilReady(2));  // the replacement; the old one is still there
  Advance(absl::Seconds(10));
  ASSERT_TRUE(RunUntil([&] { return owner.ended.size() == 1; }));
  EXPECT_EQ(owner.ended.front().exit.reason, ExitReason::kRecycled);
  EXPECT_THAT(owner.ended.front().exit.detail, HasSubstr("did not end within"));
}

TEST_F(WorkerPoolTest, GrowsAndShrinks) {
  StartPool(Spec("good", "good", 1));
  ASSERT_TRUE(RunUntilReady(1));
  pool->Resize(4);
  ASSERT_TRUE(RunUntilReady(4));
  EXPECT_EQ(pool->spec().size, 4U);
  pool->Resize(2);
  ASSERT_TRUE(RunUntil([&] { return owner.ended.size() == 2; }));
  for (const auto& ended : owner.ended) {
    EXPECT_EQ(ended.exit.reason, ExitReason::kScaledDown);
    EXPECT_GE(ended.index, 2U);
  }
  EXPECT_EQ(pool->workers().size(), 2U);
}

TEST_F(WorkerPoolTest, LendsWorkersBeyondItsSize) {
  StartPool(Spec("good", "good", 1));
  ASSERT_TRUE(RunUntilReady(1));
  pool->Lend(2);
  ASSERT_TRUE(RunUntilReady(3));
  EXPECT_EQ(pool->spec().size, 1U);
  pool->Lend(0);
  ASSERT_TRUE(RunUntil([&] { return owner.ended.size() == 2; }));
  for (const auto& ended : owner.ended) {
    EXPECT_EQ(ended.exit.reason, ExitReason::kScaledDown);
    EXPECT_GE(ended.index, 1U);
  }
}

TEST_F(WorkerPoolTest, ShrinksWhileForksAreOnTheirWay) {
  StartPool(Spec("good", "good", 6));
  ASSERT_TRUE(RunUntil([&] { return pool->zygote_pid() > 0; }));
  pool->Resize(1);
  ASSERT_TRUE(RunUntil([&] { return owner.ready.size() == 1 && pool->workers().size() == 1; }));
}

TEST_F(WorkerPoolTest, ReloadReplacesTheZygoteAndAllWorkersOnceTheyAreReady) {
  StartPool(Spec("good", "good", 2));
  ASSERT_TRUE(RunUntilReady(2));
  const pid_t old_zygote = pool->zygote_pid();
  owner.events.clear();
  pool->Reload();
  ASSERT_TRUE(RunUntil([&] { return owner.ended.size() == 2 && owner.ready.size() == 2; }));
  EXPECT_NE(pool->zygote_pid(), old_zygote);
  EXPECT_LT(std::find(owner.events.begin(), owner.events.end(), "ready 0.2"),
            std::find(owner.events.begin(), owner.events.end(), "retire 0.1"));
  ASSERT_TRUE(RunUntil([&] { return kill(old_zygote, 0) != 0; })) << "the old zygote stayed";
}

TEST_F(WorkerPoolTest, ReloadWithABrokenZygoteKeepsTheOldOneAndSaysWhy) {
  // Good as long as the cure file is there; then it is taken away.
  Cure();
  StartPool(Spec("fails", "good", 2));
  ASSERT_TRUE(RunUntilReady(2));
  const pid_t zygote = pool->zygote_pid();
  unlink(cure_file.c_str());
  pool->Reload();
  ASSERT_TRUE(RunUntil([&] { return !pool->degraded_reason().empty(); }));
  EXPECT_FALSE(pool->degraded());
  EXPECT_THAT(pool->degraded_reason(), HasSubstr("reload failed"));
  EXPECT_THAT(pool->degraded_reason(), HasSubstr("/lib/missing.so"));
  EXPECT_EQ(pool->zygote_pid(), zygote);
  EXPECT_EQ(owner.ready.size(), 2U);
  Cure();
  pool->Reload();
  ASSERT_TRUE(RunUntil([&] { return owner.ended.size() == 2 && owner.ready.size() == 2; }));
  EXPECT_EQ(pool->degraded_reason(), "");
}

TEST_F(WorkerPoolTest, StartsADedicatedWorkerBesideTheSlots) {
  StartPool(Spec("good", "good", 1));
  pool->StartDedicated(77);
  ASSERT_TRUE(RunUntilReady(2));
  const auto dedicated = std::find_if(owner.ready.begin(), owner.ready.end(),
                                      [](Worker* worker) { return worker->dedicated(); });
  ASSERT_NE(dedicated, owner.ready.end());
  EXPECT_EQ((*dedicated)->dedicated_cookie(), 77U);
  EXPECT_GE((*dedicated)->index(), pool->spec().size);
  SendTask(**dedicated, 1, "exit:3");
  ASSERT_TRUE(RunUntil([&] { return owner.ended.size() == 1; }));
  EXPECT_EQ(owner.ended.front().exit.reason, ExitReason::kDedicatedDone);
  EXPECT_EQ(WEXITSTATUS(*owner.ended.front().exit.wait_status), 3);
  EXPECT_EQ(pool->workers().size(), 1U);
  EXPECT_TRUE(owner.dedicated_failures.empty());
}

TEST_F(WorkerPoolTest, RefusesMoreDedicatedWorkersThanAllowed) {
  PoolSpec spec = Spec("good", "good", 1);
  spec.max_dedicated = 1;
  StartPool(spec);
  pool->StartDedicated(1);
  pool->StartDedicated(2);
  ASSERT_TRUE(RunUntil([&] { return owner.dedicated_failures.size() == 1; }));
  EXPECT_EQ(owner.dedicated_failures.front().first, 2U);
  EXPECT_TRUE(absl::IsResourceExhausted(owner.dedicated_failures.front().second));
  EXPECT_TRUE(RunUntilReady(2));
}

TEST_F(WorkerPoolTest, ShutdownLeavesNoGrandchildBehind) {
  StartPool(Spec("good", "good", 2));
  ASSERT_TRUE(RunUntilReady(2));
  SendTask(*owner.ready.front(), 1, "spawn");
  ASSERT_TRUE(RunUntil([&] { return owner.finished.size() == 1; }));
  StopPool();
  EXPECT_EQ(owner.ended.size(), 2U);
  for (const auto& ended : owner.ended) EXPECT_EQ(ended.exit.reason, ExitReason::kShutdown);
}

TEST_F(WorkerPoolTest, ShutdownWhileStartingLeavesNothing) {
  StartPool(Spec("good", "never-ready", 3));
  ASSERT_TRUE(RunUntil([&] { return !pool->workers().empty(); }));
  StopPool();
}

TEST_F(WorkerPoolTest, ShutdownOfAPoolThatWasNeverStartedIsDone) {
  pool = WorkerPool::Create(
      Spec("good", "good", 1),
      PoolEnvironment{loop.get(), &owner, orphans.get(), &oom_proof, "/nonexistent"});
  StopPool();
}

TEST_F(WorkerPoolTest, AnIdlePoolSleepsWithoutTimers) {
  StartPool(Spec("good", "good", 2));
  ASSERT_TRUE(RunUntilReady(2));
  loop->RunOnce(0);
  const uint64_t before = loop->wakeups();
  clock.Advance(absl::Hours(1));  // any armed timer would be due
  const size_t events = owner.events.size();
  loop->RunOnce(50'000'000);
  EXPECT_EQ(loop->wakeups(), before + 1) << "woken by something else than the bound of the wait";
  EXPECT_EQ(owner.events.size(), events);
  EXPECT_EQ(owner.ready.size(), 2U);
}

}  // namespace
}  // namespace prefork::pool
