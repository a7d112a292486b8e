#ifndef PREFORK_TESTS_SIMULATION_HISTORY_H_
#define PREFORK_TESTS_SIMULATION_HISTORY_H_

#include <cstdint>
#include <vector>

#include "server/scheduler/action.h"
#include "server/scheduler/scheduler.h"
#include "server/scheduler/types.h"
#include "tests/simulation/fake_worker.h"
#include "tests/simulation/ledger.h"
#include "tests/simulation/random.h"

namespace prefork::simulation {

// In nanoseconds.
inline constexpr int64_t kUs = 1'000;
inline constexpr int64_t kMs = 1'000'000;
inline constexpr int64_t kSecond = 1'000'000'000;

// One random history of a scheduler: clients that submit and cancel, workers that claim, finish and die
// at any instant, an engine that carries actions out and brings news late, an operator who pauses and
// removes pools, and time that creeps or jumps. Everything follows from the seed.
class History {
 public:
  History(uint64_t seed, bool trace);

  // Lets one thing happen and checks the promises.
  void Step();

  // Ends the chaos: every task has to reach its end, then every trace of it has to vanish. Returns how
  // many steps that took.
  uint64_t Finish();

 private:
  static constexpr TaskSlot kSlots = 96;
  // An entry that nobody claims for this long proves that its worker sleeps.
  static constexpr int64_t kUnclaimedNs = 50'000'000;
  // News that is later than this may cost a neighbour; see kClearingNs in stopping.cc.
  static constexpr int64_t kLateNewsNs = 100'000'000;

  struct Style {   // drawn once for each history
    bool batches;  // the engine brings several events before it reads the answers
    bool tiny;     // tasks are short and lanes become deep
    bool dedicated;
    bool retries;
    bool timeouts;
    bool after;
    uint32_t deaths;  // percent of the chaos
    bool sleeps;      // workers are stopped and continued
    uint32_t clients, priorities, max_workers;
    uint32_t late;         // percent of answers that come late
    size_t lane_capacity;  // entries that fit into a lane
  };

  // --- what happens ---
  void LetTimePass(int64_t ns);
  // Of clients, in history_tasks.cc.
  void SubmitTask();
  void CancelTask();
  void HoldOrReleaseClient();
  void ForgetTask();
  // Of pools, in history_pools.cc.
  void AddPool();
  void PauseOrResume();
  void RemovePool();
  // Of workers, in history_workers.cc.
  void AddWorker(PoolKey pool);
  void RetireWorker();
  void AnswerStart();
  void WorkInLane(FakeWorker& worker);
  void KillWorker(FakeWorker& worker);
  void StopOrContinue(FakeWorker& worker);
  void SendNonsense();

  // --- the engine's part ---
  void Deliver(FakeWorker& worker, bool everything);
  void GiveAnswers(FakeWorker& worker);
  void ReportDeath(WorkerKey key);
  void ReadActions();
  void CarryOut(const Action& action);
  void Told();  // after each event
  FakeWorker* AnyWorker();
  TaskSlot AnySlot() { return random_.Below(ledger_.slots()); }
  FakeWorker* Find(WorkerKey key);
  TaskRecord Behaviour(PoolKey pool);
  void EndHangingTasks();
  void WakeBusyWorkers();
  size_t AwakeWorkers(PoolKey pool) const;
  void Vanish();

  Random random_;
  Style style_;
  bool trace_;
  int64_t now_ns_ = 1'000'000'000;
  scheduler::Scheduler scheduler_;
  Workers workers_;
  Ledger ledger_;
  std::vector<Action> actions_;
  std::vector<TaskSlot> starts_;     // kStartDedicated not answered yet
  std::vector<PoolKey> open_pools_;  // at least one until the end
  PoolKey next_pool_ = 1;
  WorkerKey next_worker_ = 1;
  uint32_t steps_ = 0;
};

}  // namespace prefork::simulation

#endif  // PREFORK_TESTS_SIMULATION_HISTORY_H_
