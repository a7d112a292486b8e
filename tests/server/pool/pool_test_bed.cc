#include "tests/server/pool/pool_test_bed.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/os/process_tree.h"
#include "common/shm/lane_layout.h"

namespace prefork::pool {
namespace {

constexpr auto kRealBound = std::chrono::seconds(10);
constexpr int64_t kLookNs = 2'000'000;

std::string Name(const Worker& worker) {
  return absl::StrCat(worker.index(), ".", worker.generation());
}

void Remove(std::vector<Worker*>& workers, Worker* worker) {
  workers.erase(std::remove(workers.begin(), workers.end(), worker), workers.end());
}

}  // namespace

void RecordingOwner::OnWorkerStarting(Worker& worker) {
  EXPECT_GT(worker.pid(), 0);
  events.push_back("starting " + Name(worker));
}

void RecordingOwner::OnWorkerReady(Worker& worker) {
  EXPECT_TRUE(worker.ready());
  events.push_back("ready " + Name(worker));
  ready.push_back(&worker);
  OnLaneReadable(worker);  // and so asks to be woken
}

void RecordingOwner::OnRetirementWanted(Worker& worker) {
  EXPECT_TRUE(pool->WantsRetirement(worker));
  events.push_back("retire " + Name(worker));
  Remove(ready, &worker);
  if (retire_at_once) {
    pool->RetireWorker(worker);
  } else {
    wanted.push_back(&worker);
  }
}

void RecordingOwner::OnLaneReadable(Worker& worker) {
  for (;;) {
    auto record = worker.lane().up().Next(/*claim=*/false);
    ASSERT_TRUE(record.ok()) << record.status();
    if (!record->has_value()) {
      if (worker.lane().up().PrepareSleep()) return;
      continue;
    }
    if ((*record)->kind == shm::RecordKind::kFinished) {
      shm::FinishedRecord body;
      memcpy(&body, (*record)->body.data(), sizeof(body));
      finished.push_back(body.task_id);
      pool->TasksDone(worker, 1);
    }
    worker.lane().up().Release();
  }
}

void RecordingOwner::OnOutput(Worker&, int stream, uint64_t task_id, std::string_view bytes) {
  outputs.push_back({stream, task_id, std::string(bytes)});
}

void RecordingOwner::OnSegmentRequest(Worker&, uint64_t size_bytes) {
  segment_requests.push_back(size_bytes);
}

void RecordingOwner::OnWorkerExited(Worker& worker, const WorkerExit& exit) {
  events.push_back("exited " + Name(worker));
  Remove(ready, &worker);
  Remove(wanted, &worker);
  ended.push_back({worker.index(), worker.generation(), worker.pid(), worker.dedicated(), exit});
}

void RecordingOwner::OnDedicatedFailed(uint64_t cookie, const absl::Status& why) {
  dedicated_failures.emplace_back(cookie, why);
}

bool RecordingOwner::Logged(const std::string& text) const {
  return std::any_of(log.begin(), log.end(),
                     [&](const std::string& line) { return absl::StrContains(line, text); });
}

PoolTestBed::PoolTestBed() : cure_file(absl::StrCat(::testing::TempDir(), "cure.", getpid())) {
  unlink(cure_file.c_str());
  loop = *os::EventLoop::Create(&clock);
  orphans = *OrphanReaper::Create(loop.get());
}

PoolTestBed::~PoolTestBed() {
  if (pool != nullptr) StopPool();
  unlink(cure_file.c_str());
  // Everything that was posted runs before the objects it needs go.
  loop->RunOnce(0);
  orphans.reset();
}

PoolSpec PoolTestBed::Spec(const std::string& zygote_mode, const std::string& worker_mode,
                           uint32_t size) const {
  PoolSpec spec;
  spec.name = "test";
  spec.size = size;
  spec.zygote_command = {FAKE_ZYGOTE, zygote_mode, worker_mode, cure_file};
  return spec;
}

void PoolTestBed::StartPool(const PoolSpec& spec) {
  pool = WorkerPool::Create(
      spec, PoolEnvironment{loop.get(), &owner, orphans.get(), &oom_proof, "/nonexistent"});
  owner.pool = pool.get();
  pool->Start();
}

void PoolTestBed::StopPool() {
  bool done = false;
  pool->Shutdown(absl::Seconds(30), [&] { done = true; });
  if (!RunUntil([&] { return done; })) {
    Advance(absl::Seconds(30));
    EXPECT_TRUE(RunUntil([&] { return done; }));
  }
  EXPECT_TRUE(pool->workers().empty());
  EXPECT_EQ(os::ListChildren(getpid()), std::vector<pid_t>());
  loop->RunOnce(0);
  pool.reset();
  owner.pool = nullptr;
}

bool PoolTestBed::RunUntil(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + kRealBound;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    loop->RunOnce(kLookNs);
  }
  return true;
}

void PoolTestBed::Advance(absl::Duration by) {
  clock.Advance(by);
  loop->RunOnce(0);
}

bool PoolTestBed::AdvanceUntil(absl::Duration step, int steps,
                               const std::function<bool()>& condition) {
  const auto look = std::chrono::milliseconds(200);
  for (int i = 0; i < steps; ++i) {
    const auto deadline = std::chrono::steady_clock::now() + look;
    while (std::chrono::steady_clock::now() < deadline) {
      if (condition()) return true;
      loop->RunOnce(kLookNs);
    }
    Advance(step);
  }
  return condition();
}

void PoolTestBed::Cure() const {
  const int fd = open(cure_file.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  ASSERT_GE(fd, 0);
  close(fd);
}

void PoolTestBed::SendTask(Worker& worker, uint64_t task_id, const std::string& function) {
  shm::TaskRecord task = {};
  task.task_id = task_id;
  task.attempt = 1;
  task.function_bytes = static_cast<uint32_t>(function.size());
  const auto room =
      worker.lane().down().Reserve(shm::RecordKind::kTask, sizeof(task) + function.size());
  ASSERT_FALSE(room.empty());
  memcpy(room.data(), &task, sizeof(task));
  memcpy(room.data() + sizeof(task), function.data(), function.size());
  worker.lane().down().Commit();
  worker.lane().down().PublishAndWake();
}

}  // namespace prefork::pool
