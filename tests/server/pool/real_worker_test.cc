// The pool with the real prefork-worker: what the fake zygote can't show.
#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "server/pool/worker_pool.h"
#include "tests/server/pool/pool_test_bed.h"

namespace prefork::pool {
namespace {

using ::testing::HasSubstr;

class RealWorkerTest : public PoolTestBed {
 protected:
  static PoolSpec RealSpec(uint32_t size) {
    PoolSpec spec;
    spec.name = "real";
    spec.size = size;
    spec.zygote_command = {PREFORK_WORKER, "--runtime", "command"};
    return spec;
  }
};

TEST_F(RealWorkerTest, StartsScalesAndEndsWithoutLeftovers) {
  StartPool(RealSpec(2));
  ASSERT_TRUE(RunUntilReady(2));
  pool->Resize(4);
  ASSERT_TRUE(RunUntilReady(4));
  pool->Resize(1);
  ASSERT_TRUE(RunUntil([&] { return owner.ended.size() == 3; }));
  for (const auto& ended : owner.ended) {
    EXPECT_EQ(ended.exit.reason, ExitReason::kScaledDown) << ended.exit.detail;
  }
}

TEST_F(RealWorkerTest, ASlotRunsAgainSoonAfterASigkill) {
  StartPool(RealSpec(2));
  ASSERT_TRUE(RunUntilReady(2));
  std::vector<double> milliseconds;
  for (size_t round = 1; round <= 3; ++round) {
    const auto start = std::chrono::steady_clock::now();
    ASSERT_EQ(kill(owner.ready.front()->pid(), SIGKILL), 0);
    ASSERT_TRUE(RunUntil([&] { return owner.ended.size() == round && owner.ready.size() == 2; }));
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    milliseconds.push_back(took.count());
  }
  const double best = *std::min_element(milliseconds.begin(), milliseconds.end());
  RecordProperty("respawn_ms", std::to_string(best));
  EXPECT_LT(best, 20.0);
}

TEST_F(RealWorkerTest, WorkersOfAKilledZygoteAreDrainedAndReplaced) {
  StartPool(RealSpec(2));
  ASSERT_TRUE(RunUntilReady(2));
  ASSERT_EQ(kill(pool->zygote_pid(), SIGKILL), 0);
  ASSERT_TRUE(RunUntil([&] { return owner.ended.size() == 2 && owner.ready.size() == 2; }));
  for (const auto& ended : owner.ended) {
    EXPECT_EQ(ended.exit.reason, ExitReason::kRecycled)
        << ended.exit.detail << ::testing::PrintToString(owner.events)
        << ::testing::PrintToString(owner.log);
    EXPECT_TRUE(ended.exit.wait_status.has_value());
  }
}

TEST_F(RealWorkerTest, AMissingModuleIsNamed) {
  PoolSpec spec = RealSpec(1);
  spec.zygote_command = {PREFORK_WORKER, "--runtime", "native", "--module", "/no/such/module.so"};
  StartPool(spec);
  ASSERT_TRUE(RunUntil([&] { return pool->degraded(); }));
  EXPECT_THAT(pool->degraded_reason(), HasSubstr("/no/such/module.so"));
}

TEST_F(RealWorkerTest, ADedicatedWorkerStandsBesideTheSlots) {
  StartPool(RealSpec(1));
  ASSERT_TRUE(RunUntilReady(1));
  pool->StartDedicated(9);
  ASSERT_TRUE(RunUntilReady(2));
  Worker* dedicated = owner.ready.back();
  ASSERT_TRUE(dedicated->dedicated());
  dedicated->Kill(ExitReason::kTaskStopped, "not needed");
  ASSERT_TRUE(RunUntil([&] { return owner.ended.size() == 1; }));
  EXPECT_TRUE(owner.ended.front().dedicated);
}

}  // namespace
}  // namespace prefork::pool
