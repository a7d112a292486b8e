#ifndef PREFORK_SERVER_POOL_PROCESS_POOL_H_
#define PREFORK_SERVER_POOL_PROCESS_POOL_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "server/pool/deadline.h"
#include "server/pool/death_tally.h"
#include "server/pool/slot.h"
#include "server/pool/worker_pool.h"
#include "server/pool/worker_process.h"
#include "server/pool/zygote_keeper.h"

namespace prefork::pool {

// The pool of real processes; see WorkerPool for what it promises. The design note is in
// process_pool.cc.
class ProcessPool final : public WorkerPool, private ZygoteKeeperHost, private WorkerProcessHost {
 public:
  ProcessPool(const PoolSpec& spec, const PoolEnvironment& environment);
  ~ProcessPool() override = default;

  const PoolSpec& spec() const override { return spec_; }
  void Start() override;
  void Resize(uint32_t size) override;
  void Lend(uint32_t workers) override;
  uint32_t lent() const override { return lent_; }
  void Reload() override;
  void StartDedicated(uint64_t cookie) override;
  bool WantsRetirement(const Worker& worker) const override;
  void RetireWorker(Worker& worker) override;
  void TasksDone(Worker& worker, uint64_t count) override;
  void Shutdown(absl::Duration grace, std::function<void()> done) override;
  bool degraded() const override;
  std::string degraded_reason() const override;
  uint64_t failed_starts() const override { return zygotes_.failed_starts(); }
  int32_t zygote_pid() const override;
  uint32_t starting() const override;
  uint64_t unexpected_exits() const override { return unexpected_exits_; }
  const std::vector<std::string>& functions() const override { return functions_; }
  const std::vector<Worker*>& workers() const override { return workers_; }

 private:
  using Name = std::pair<uint32_t, uint32_t>;  // index, generation
  enum class Phase { kNew, kRunning, kStopping, kStopped };
  // For killing what a dead zygote had not announced; nobody waits for it.
  static constexpr absl::Duration kClearPatience = absl::Seconds(5);

  // Zygotes; process_pool_events.cc.
  void OnZygoteReady(ZygoteProcess& zygote, const std::string& functions) override;
  void OnForked(ZygoteProcess& zygote, zygote::WorkerName worker, pid_t pid,
                os::Pidfd pidfd) override;
  void OnForkFailed(ZygoteProcess& zygote, zygote::WorkerName worker,
                    const absl::Status& why) override;
  void OnWorkerReaped(ZygoteProcess& zygote, const zygote::ExitedBody& exited) override;
  void OnZygoteGone(ZygoteProcess& zygote, const std::string& why) override;
  void OnZygoteOutput(ZygoteProcess& zygote, const std::string& line) override;
  void OnZygotesChanged() override;

  // Workers; process_pool_events.cc.
  void OnStarting(WorkerProcess& process) override;
  void OnReady(WorkerProcess& process) override;
  void OnLaneReadable(WorkerProcess& process) override;
  void OnOutput(WorkerProcess& process, int stream, uint64_t task_id,
                std::string_view bytes) override;
  void OnSegmentRequest(WorkerProcess& process, uint64_t size_bytes) override;
  void OnDied(WorkerProcess& process) override;
  void OnStatusOverdue(WorkerProcess& process) override;
  void OnExited(WorkerProcess& process, const WorkerExit& exit) override;

  // Does whatever the pool's wishes and its present state call for; may be called at any time.
  void Reconcile();
  void ForkForSlots(ZygoteProcess& zygote);
  void ForkDedicated(ZygoteProcess& zygote);
  void ReleaseOldZygotes();
  void ContinueShutdown();
  absl::Status ForkWorker(ZygoteProcess& zygote, const WorkerProcessOptions& options, Slot* slot);
  bool ASlotIsStarting() const;
  // Gives the pool its places() and takes the others back.
  void FitSlots(std::string_view why_fewer);
  size_t places() const { return size_t{spec_.size} + lent_; }

  PooledWorker* Find(const Worker& worker) const;
  PooledWorker* Find(zygote::WorkerName name) const;
  void Adopt(PooledWorker& worker);
  void ForgetForking(PooledWorker& worker);
  void WantRetirement(PooledWorker& worker, ExitReason reason, std::string_view detail);
  void WatchAge(PooledWorker& worker);
  void WatchProbation(PooledWorker& worker);
  static void CancelTimers(PooledWorker& worker);
  void Proven(PooledWorker& worker);
  void CountFailure(PooledWorker& worker, std::string why);
  void Bury(PooledWorker& worker);
  void FailDedicated(uint64_t cookie, absl::Status why);
  void FailWaitingDedicated();
  void Log(log::Level level, std::string_view line);
  void Later(std::function<void()> action);

  PoolSpec spec_;
  const PoolEnvironment environment_;
  Phase phase_ = Phase::kNew;
  ZygoteKeeper zygotes_;
  DeathTally tally_;
  std::vector<std::unique_ptr<Slot>> slots_;  // as many as the pool ever had; places() are in use
  uint32_t lent_ = 0;
  absl::flat_hash_map<Name, std::unique_ptr<PooledWorker>> pooled_;
  std::vector<Worker*> workers_;
  std::vector<std::unique_ptr<PooledWorker>>
      buried_;                              // exited; their callbacks may be on the stack
  std::deque<uint64_t> dedicated_waiting_;  // cookies
  uint32_t dedicated_running_ = 0;
  uint32_t next_dedicated_generation_ = 1;
  std::vector<std::string> functions_;
  uint64_t unexpected_exits_ = 0;
  Deadline wake_;  // when the next slot may be tried again
  Deadline shutdown_deadline_;
  std::function<void()> shutdown_done_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // for what was posted
};

}  // namespace prefork::pool

#endif  // PREFORK_SERVER_POOL_PROCESS_POOL_H_
