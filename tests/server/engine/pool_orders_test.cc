// What a pool tells its clients, and what is asked of a pool.
#include <unistd.h>

#include <string>
#include <vector>

#include "common/os/pipe.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/engine/engine_impl.h"
#include "tests/server/engine/engine_pass_bed.h"
#include "tests/server/engine/recording_sink.h"

namespace prefork::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class PoolOrdersTest : public EnginePassBed {};

TEST_F(PoolOrdersTest, WhatAPoolSaysIsLoggedWithItsLevelAndCannotForgeAnother) {
  absl::StatusOr<os::Pipe> pipe = os::CreatePipe();
  ASSERT_TRUE(pipe.ok()) << pipe.status();
  log::Logger log(pipe->write_end.get(), log::Format::kJournal, log::Level::kInfo);
  EngineOptions options;
  options.log = &log;
  StartWithPools(options);
  native().observer().OnPoolMessage(log::Level::kWarning, "zygote 7: \n<0>\x1b[2Jfire");
  native().observer().OnPoolMessage(log::Level::kDebug, "too small to be heard");
  char line[256];
  const ssize_t bytes = read(pipe->read_end.get(), line, sizeof line);
  ASSERT_GT(bytes, 0);
  EXPECT_EQ(std::string(line, bytes), "<4>zygote 7: \\x0a<0>\\x1b[2Jfire\n");
}

TEST_F(PoolOrdersTest, APoolSaysWhyItIsDegraded) {
  std::vector<PoolInfo> heard;
  engine_->SetReadinessListener([&](const std::vector<PoolInfo>& pools) { heard = pools; });
  native().reason = "module not found; check the path";
  native().observer().OnPoolChanged();
  Pass();
  ASSERT_THAT(heard, SizeIs(2));
  EXPECT_EQ(heard[1].state, PoolState::kDegraded);
  EXPECT_THAT(engine_->Status().warnings,
              ElementsAre("pool native: module not found; check the path"));
}

TEST_F(PoolOrdersTest, AQueuedTaskSaysThatItsPoolIsPausedOrWhyItIsDegraded) {
  const TaskId id = Submit();
  EXPECT_EQ(Info(id).waiting_for, "its pool has no worker yet");
  native().reason = "module not found";
  EXPECT_EQ(Info(id).waiting_for, "a worker; pool degraded: module not found");
  engine_->PausePool(kRoot, "native", true, [](const absl::StatusOr<PoolInfo>&) {});
  EXPECT_THAT(Info(id).waiting_for, HasSubstr("pool paused"));
}

TEST_F(PoolOrdersTest, AReloadThatFailsTwiceWithTheSameWordsIsAnsweredTwice) {
  native().AddWorker();
  std::vector<absl::Status> answers;
  for (size_t reload = 1; reload <= 2; ++reload) {
    engine_->ReloadPool(kRoot, "native", [&](const absl::StatusOr<PoolInfo>& pool) {
      answers.push_back(pool.status());
    });
    Pass();
    EXPECT_THAT(answers, SizeIs(reload - 1));
    native().reload_reason = "module not found";
    ++native().failures;
    native().observer().OnPoolChanged();
    Pass();
    ASSERT_THAT(answers, SizeIs(reload));
    EXPECT_THAT(std::string(answers.back().message()), HasSubstr("module not found"));
  }
}

TEST_F(PoolOrdersTest, AWatchOfAPoolThatDoesNotExistIsRefused) {
  RecordingSink sink;
  WatchOptions options;
  options.caller = kRoot;
  options.pools = true;
  options.pool_names = {"native", "nativ"};
  EXPECT_EQ(engine_->OpenWatch(options, &sink).status().code(), absl::StatusCode::kNotFound);
  options.pool_names = {};
  options.task_filter.pool = "nativ";
  EXPECT_EQ(engine_->OpenWatch(options, &sink).status().code(), absl::StatusCode::kNotFound);
  options.task_filter.pool = "native";
  EXPECT_TRUE(engine_->OpenWatch(options, &sink).ok());
}

TEST_F(PoolOrdersTest, AnOrderThatNobodyWaitsForIsForgotten) {
  FakeWorker& worker = native().AddWorker();
  const TaskId id = Submit();
  int answers = 0;
  const auto count = [&answers](const absl::StatusOr<PoolInfo>&) { ++answers; };
  const OrderId forgotten = engine_->DrainPool(kRoot, "native", count);
  const OrderId awaited = engine_->DrainPool(kRoot, "native", count);
  EXPECT_NE(forgotten, awaited);
  engine_->CancelOrder(forgotten);
  EXPECT_EQ(Claim(worker), id);
  worker.Finish(id);
  Pass();
  EXPECT_EQ(answers, 1);
  engine_->CancelOrder(awaited);  // of no effect any more
  EXPECT_EQ(engine_->DrainPool(kRoot, "no-such-pool", count), 0u);
  EXPECT_EQ(answers, 2);
}

}  // namespace
}  // namespace prefork::engine
