#include "tests/fault/fault_bed.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/os/process_stats.h"
#include "common/os/process_tree.h"
#include "tests/fault/fault_programs.h"
#include "worker_programs.h"

namespace prefork::fault {

std::vector<std::string> UseFaultyWorkers() {
  return {"--worker-program", worker_testing::kFaultyWorkerProgram};
}

std::string FakeZygoteProgram() { return kFakeZygote; }

std::string SegmentHolderProgram() { return kSegmentHolder; }

std::string MisbehavingPool(const std::string& name, int size, const std::string& more) {
  return absl::StrCat("[pool.", name, "]\nruntime = \"native\"\nsize = ", size, "\nmodules = [\"",
                      worker_testing::kTestModule, "\"]\n", more, "\n");
}

std::string CommandPool(const std::string& name, int size, const std::string& more) {
  return absl::StrCat("[pool.", name, "]\nruntime = \"command\"\nsize = ", size, "\n", more, "\n");
}

FaultBed::FaultBed(testing::DaemonOptions options, client::EventOptions events) {
  Start(std::move(options));
  client_ = Connect(events);
  ExpectWhole();
  NoteDescriptors();
}

FaultBed::FaultBed(Broken, testing::DaemonOptions options) {
  Start(std::move(options));
  client_ = Connect();
}

FaultBed::~FaultBed() {
  if (daemon_->running()) ExpectWhole();
}

void FaultBed::Start(testing::DaemonOptions options) {
  options.ready_timeout = std::max(options.ready_timeout, kPatience);
  absl::StatusOr<std::unique_ptr<testing::Daemon>> daemon = testing::Daemon::Start(options);
  if (!daemon.ok()) {
    ADD_FAILURE() << daemon.status();
    std::abort();  // nothing that follows makes sense
  }
  daemon_ = *std::move(daemon);
}

std::unique_ptr<client::Client> FaultBed::Connect(client::EventOptions events) const {
  absl::StatusOr<client::Client> client = client::Client::Connect({.address = daemon_->address(),
                                                                   .autostart = false,
                                                                   .client_name = "fault",
                                                                   .connect_timeout = kPatience,
                                                                   .events = events});
  if (!client.ok()) {
    ADD_FAILURE() << client.status() << daemon_->Log();
    std::abort();
  }
  client->api().set_call_timeout(kPatience);
  return std::make_unique<client::Client>(*std::move(client));
}

void FaultBed::NoteDescriptors() { allowed_descriptors_ = Descriptors(); }

uint64_t FaultBed::Descriptors() const {
  std::error_code ignored;
  uint64_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(
           absl::StrCat("/proc/", daemon_->pid(), "/fd"), ignored)) {
    ++count;
  }
  return count;
}

std::vector<pid_t> FaultBed::Zombies() const {
  std::vector<pid_t> zombies;
  for (const pid_t child : os::ListChildren(daemon_->pid())) {
    if (ProcessState(child) == 'Z') zombies.push_back(child);
    for (const pid_t grandchild : os::ListChildren(child)) {
      if (ProcessState(grandchild) == 'Z') zombies.push_back(grandchild);
    }
  }
  return zombies;
}

bool FaultBed::IsWhole(std::string* why) {
  const absl::StatusOr<v1::DaemonStatus> status = api().GetStatus();
  if (!status.ok()) {
    *why = status.status().ToString();
    return false;
  }
  if (status->tasks_unfinished() != 0) {
    *why = absl::StrCat(status->tasks_unfinished(), " tasks are unfinished");
    return false;
  }
  for (const v1::Pool& pool : status->pools()) {
    const bool whole = pool.state() == v1::POOL_STATE_READY && pool.reason().empty() &&
                       pool.workers_idle() == pool.spec().size() && pool.workers_busy() == 0 &&
                       pool.workers_starting() == 0 && pool.workers_retiring() == 0;
    if (whole) continue;
    *why = pool.ShortDebugString();
    return false;
  }
  const std::vector<pid_t> zombies = Zombies();
  if (!zombies.empty()) *why = absl::StrCat("zombies: ", absl::StrJoin(zombies, " "));
  const uint64_t descriptors = Descriptors();
  const bool leak = allowed_descriptors_ != 0 && descriptors > allowed_descriptors_;
  if (leak) {
    *why = absl::StrCat(descriptors, " open descriptors instead of ", allowed_descriptors_);
  }
  return zombies.empty() && !leak;
}

void FaultBed::ExpectWhole() {
  std::string why;
  EXPECT_TRUE(testing::WaitFor([&] { return IsWhole(&why); }, kPatience)) << why << "\n"
                                                                          << daemon_->Log();
}

v1::Pool FaultBed::Pool(const std::string& name) {
  const absl::StatusOr<v1::Pool> pool = api().GetPool(name);
  EXPECT_TRUE(pool.ok()) << pool.status();
  return pool.ok() ? *pool : v1::Pool();
}

std::vector<v1::Worker> FaultBed::Workers(const std::string& pool) {
  const absl::StatusOr<v1::ListWorkersResponse> all = api().ListWorkers(pool);
  EXPECT_TRUE(all.ok()) << all.status();
  std::vector<v1::Worker> ready;
  if (!all.ok()) return ready;
  for (const v1::Worker& worker : all->workers()) {
    const bool serves =
        worker.state() == v1::WORKER_STATE_IDLE || worker.state() == v1::WORKER_STATE_BUSY;
    if (serves && !worker.dedicated()) ready.push_back(worker);
  }
  std::sort(ready.begin(), ready.end(),
            [](const auto& a, const auto& b) { return a.index() < b.index(); });
  return ready;
}

bool FaultBed::WaitForPool(const std::string& name, v1::PoolState state, absl::Duration timeout) {
  return testing::WaitFor([&] { return Pool(name).state() == state; }, timeout);
}

bool FaultBed::WaitForState(uint64_t task_id, v1::TaskState state, absl::Duration timeout) {
  return testing::WaitFor(
      [&] {
        const absl::StatusOr<v1::Task> task = api().GetTask(task_id);
        return task.ok() && task->state() == state;
      },
      timeout);
}

client::TaskHandle FaultBed::Submit(const client::TaskSpec& spec, client::SubmitOptions options) {
  absl::StatusOr<client::TaskHandle> task = client_->Submit(spec, std::move(options));
  EXPECT_TRUE(task.ok()) << task.status();
  const absl::StatusOr<uint64_t> accepted = task->WaitAccepted(kPatience);
  EXPECT_TRUE(accepted.ok()) << accepted.status();
  return *std::move(task);
}

client::TaskHandle FaultBed::Submit(const std::string& pool, const std::string& function,
                                    const std::string& payload) {
  return Submit({.pool = pool, .function = function, .payload = payload});
}

client::TaskResult FaultBed::End(const client::TaskHandle& task, absl::Duration timeout) {
  absl::StatusOr<client::TaskResult> result = task.Get(timeout);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? *std::move(result) : client::TaskResult();
}

void FaultBed::ExpectWorks(const std::string& pool) {
  const client::TaskResult result = End(Submit(pool, "echo", "still here"));
  EXPECT_TRUE(result.ok()) << Describe(result) << daemon_->Log();
  EXPECT_EQ(result.value, "still here");
}

char ProcessState(pid_t pid) {
  const absl::StatusOr<os::ProcessStats> stats = os::ReadProcessStats(pid);
  return stats.ok() ? stats->state : '\0';
}

bool IsAlive(pid_t pid) {
  const char state = ProcessState(pid);
  return state != '\0' && state != 'Z' && state != 'X';
}

std::string Describe(const client::TaskResult& result) {
  std::string text(client::TaskStateName(result.state));
  if (!result.error.empty()) absl::StrAppend(&text, ", error: ", result.error);
  if (result.exit_report != nullptr) {
    absl::StrAppend(&text, ", ", std::string(client::EndCauseName(result.exit_report->cause)), ": ",
                    result.exit_report->detail);
  }
  return text;
}

void ExpectEnd(const client::TaskResult& result, client::TaskState state, client::EndCause cause) {
  EXPECT_EQ(result.state, state) << Describe(result);
  ASSERT_NE(result.exit_report, nullptr) << Describe(result);
  EXPECT_EQ(result.exit_report->cause, cause) << Describe(result);
}

}  // namespace prefork::fault
