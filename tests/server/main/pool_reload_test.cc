// What a reload does to the pools of an engine whose workers the test plays.
#include "server/main/pool_reload.h"

#include <fcntl.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/os/pipe.h"
#include "gmock/gmock.h"
#include "server/engine/engine_impl.h"
#include "tests/common/os/fake_clock.h"
#include "tests/server/engine/fake_worker_pool.h"

namespace prefork::main {
namespace {

using ::testing::ElementsAre;

constexpr engine::Caller kRoot = {.uid = 0, .privileged = true};

class PoolReloadTest : public ::testing::Test {
 protected:
  PoolReloadTest() {
    EXPECT_EQ(fcntl(log_pipe_.read_end.get(), F_SETFL, O_NONBLOCK), 0);
    engine::EngineOptions options;
    options.pools = {Spec("a"), Spec("b")};
    auto engine = engine::EngineImpl::Create(
        options, &clock_, [this](const pool::PoolSpec& spec, pool::PoolObserver* observer) {
          auto pool = std::make_unique<engine::FakeWorkerPool>(spec, observer);
          pools_[spec.name] = pool.get();
          return pool;
        });
    EXPECT_TRUE(engine.ok()) << engine.status();
    engine_ = *std::move(engine);
    engine_->StartPools();
  }

  static pool::PoolSpec Spec(const std::string& name) {
    pool::PoolSpec spec;
    spec.name = name;
    spec.runtime = pool::Runtime::kNative;
    return spec;
  }
  void Reload(const ReloadPlan& plan) {
    ReloadPools(plan, engine_.get(), &log_);
    Pass();
  }
  void Pass() {
    for (int i = 0; i < 4; ++i) engine_->loop().RunOnce(0);
  }
  // What was logged since the last call.
  std::string Logged() {
    char text[1024];
    const ssize_t bytes = read(log_pipe_.read_end.get(), text, sizeof text);
    return std::string(text, bytes > 0 ? static_cast<size_t>(bytes) : 0);
  }
  std::vector<std::string> Names() {
    std::vector<std::string> names;
    for (const engine::PoolInfo& pool : engine_->ListPools()) names.push_back(pool.spec.name);
    return names;
  }

  os::FakeClock clock_;
  os::Pipe log_pipe_ = *os::CreatePipe();
  log::Logger log_{log_pipe_.write_end.get(), log::Format::kJournal, log::Level::kInfo};
  std::map<std::string, engine::FakeWorkerPool*> pools_;
  std::unique_ptr<engine::EngineImpl> engine_;
};

TEST_F(PoolReloadTest, ANewPoolIsAddedAndABadOneIsNamed) {
  ReloadPlan plan;
  plan.added = {Spec("c"), Spec("a")};
  Reload(plan);
  EXPECT_THAT(Names(), ElementsAre("a", "b", "c"));
  EXPECT_EQ(Logged(),
            "<5>reload: pool c is added\n"
            "<3>reload: pool a is added: a pool named \"a\" exists already\n");
}

TEST_F(PoolReloadTest, AResizeIsReportedWhenItsWorkersAreReady) {
  ReloadPlan plan;
  plan.resized = {{"a", 2}};
  Reload(plan);
  EXPECT_EQ(pools_["a"]->spec().size, 2u);
  pools_["a"]->AddWorker();
  Pass();
  EXPECT_EQ(Logged(), "");
  pools_["a"]->AddWorker();
  Pass();
  EXPECT_EQ(Logged(), "<5>reload: pool a has 2 workers\n");
}

TEST_F(PoolReloadTest, ARemovedPoolFinishesItsTasksFirst) {
  engine::FakeWorker& worker = pools_["a"]->AddWorker();
  engine::TaskOptions options;
  options.pool = "a";
  options.function = "f";
  engine::TaskSubmission task;
  task.options = std::make_shared<const engine::TaskOptions>(std::move(options));
  ASSERT_TRUE(engine_->Submit(kRoot, std::move(task)).ok());
  Pass();
  const auto claimed = worker.Claim();
  ASSERT_TRUE(claimed.has_value());

  ReloadPlan plan;
  plan.removed = {"a"};
  Reload(plan);
  EXPECT_EQ(pools_["a"]->shutdown, nullptr) << "its task runs";
  worker.Finish(claimed->fields.task_id);
  Pass();
  ASSERT_NE(pools_["a"]->shutdown, nullptr);
  EXPECT_EQ(Logged(), "") << "its processes live";
  pool::WorkerExit exit;
  exit.reason = pool::ExitReason::kScaledDown;
  pools_["a"]->EndWorker(worker, exit);
  std::exchange(pools_["a"]->shutdown, nullptr)();
  Pass();
  EXPECT_THAT(Names(), ElementsAre("b"));
  EXPECT_EQ(Logged(), "<5>reload: pool a is removed\n");
}

TEST_F(PoolReloadTest, AnOrderThatFailsNamesThePoolAndWhy) {
  ReloadPlan plan;
  plan.removed = {"gone"};
  Reload(plan);
  EXPECT_THAT(Logged(), ::testing::StartsWith("<3>reload: pool gone is drained: "));
}

}  // namespace
}  // namespace prefork::main
