// Pools with an idle_timeout, on a clock that the test moves and with workers that it plays.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/engine/engine_impl.h"
#include "server/engine/errors.h"
#include "tests/server/engine/engine_pass_bed.h"

namespace prefork::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr absl::Duration kTimeout = absl::Minutes(10);

class UnusedPoolsTest : public PlayedEngine {
 protected:
  UnusedPoolsTest() {
    EngineOptions options;
    options.max_pools = 4;
    options.max_unused_pools = 2;
    StartEngine(options);
  }

  absl::Status Create(const std::string& name, absl::Duration idle_timeout = kTimeout) {
    pool::PoolSpec spec;
    spec.name = name;
    spec.runtime = pool::Runtime::kNative;
    spec.idle_timeout = idle_timeout;
    absl::Status status = engine_->CreatePool(kRoot, spec).status();
    Pass();
    return status;
  }
  TaskId Submit(const std::string& pool) {
    const absl::StatusOr<TaskId> id = TrySubmit(Function(pool));
    EXPECT_TRUE(id.ok()) << id.status();
    return id.value_or(0);
  }
  // The pools that are not being deleted.
  std::vector<std::string> Living() {
    std::vector<std::string> names;
    for (const PoolInfo& pool : engine_->ListPools()) {
      if (pool.state != PoolState::kDeleted) names.push_back(pool.spec.name);
    }
    return names;
  }
};

TEST_F(UnusedPoolsTest, AnUnusedPoolEndsAfterItsTimeAndOthersStay) {
  ASSERT_TRUE(Create("brief").ok());
  ASSERT_TRUE(Create("steady", absl::InfiniteDuration()).ok());
  Advance(kTimeout - absl::Seconds(1));
  EXPECT_THAT(Living(), ElementsAre("brief", "steady"));
  Advance(absl::Seconds(1));
  EXPECT_THAT(Living(), ElementsAre("steady"));
  ASSERT_TRUE(pools_["brief"]->shutdown);
  pools_["brief"]->shutdown();
  Pass();
  EXPECT_EQ(engine_->GetPool("brief").status().code(), absl::StatusCode::kNotFound);
  Advance(1000 * kTimeout);
  EXPECT_THAT(Living(), ElementsAre("steady"));
}

TEST_F(UnusedPoolsTest, QueuedAndRunningTasksAreUse) {
  ASSERT_TRUE(Create("busy").ok());
  const TaskId id = Submit("busy");
  Advance(3 * kTimeout);
  EXPECT_THAT(Living(), ElementsAre("busy")) << "a task is queued";
  FakeWorker& worker = pools_["busy"]->AddWorker();
  Pass();
  ASSERT_TRUE(worker.Claim());
  Advance(3 * kTimeout);
  EXPECT_THAT(Living(), ElementsAre("busy")) << "a task runs";
  worker.Finish(id);
  Pass();
  Advance(kTimeout - absl::Seconds(1));
  EXPECT_THAT(Living(), ElementsAre("busy")) << "its time began with the end of the task";
  Advance(absl::Seconds(1));
  EXPECT_THAT(Living(), IsEmpty());
}

TEST_F(UnusedPoolsTest, TheLongestUnusedMakesRoomForANewOne) {
  ASSERT_TRUE(Create("b").ok());
  Advance(absl::Seconds(1));
  ASSERT_TRUE(Create("a").ok());
  Submit("b");  // in use from now on
  Advance(absl::Seconds(1));
  ASSERT_TRUE(Create("c").ok());
  Advance(absl::Seconds(1));
  EXPECT_THAT(Living(), ElementsAre("a", "b", "c")) << "two are unused, as many as may be";
  FakeWorker& worker = pools_["b"]->AddWorker();
  Pass();
  const auto task = worker.Claim();
  ASSERT_TRUE(task);
  worker.Finish(task->fields.task_id);
  Pass();
  ASSERT_TRUE(Create("d").ok());
  EXPECT_THAT(Living(), ElementsAre("b", "c", "d"));
}

TEST_F(UnusedPoolsTest, APoolThatEndsCanBeMadeAnewOnceItIsGone) {
  ASSERT_TRUE(Create("again").ok());
  Advance(kTimeout);
  const absl::Status refused = TrySubmit(Function("again")).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReasonOf(refused), reason::kPoolDeleted);
  const absl::Status early = Create("again");
  EXPECT_EQ(early.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(ReasonOf(early), reason::kPoolDeleted);
  EXPECT_THAT(std::string(early.message()), HasSubstr("try again in a moment"));
  pools_["again"]->shutdown();
  Pass();
  EXPECT_TRUE(Create("again").ok());
}

TEST_F(UnusedPoolsTest, TooManyPoolsAreRefusedByTheNameOfTheLimit) {
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(Create(absl::StrCat("p", i), absl::InfiniteDuration()).ok());
  }
  const absl::Status status = Create("p4");
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("limits.pools"));
}

}  // namespace
}  // namespace prefork::engine
