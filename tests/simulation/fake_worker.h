#ifndef PREFORK_TESTS_SIMULATION_FAKE_WORKER_H_
#define PREFORK_TESTS_SIMULATION_FAKE_WORKER_H_

#include <cstddef>
#include <cstdint>
#include <deque>

#include "server/scheduler/types.h"

namespace prefork::simulation {

using scheduler::EndCause;
using scheduler::kNone;
using scheduler::PoolKey;
using scheduler::TaskSlot;
using scheduler::WorkerKey;

// What a worker wrote into its up-queue and the engine has not read yet.
struct Message {
  enum class Kind : uint8_t { kStarted, kFinished };
  Kind kind;
  TaskSlot task;
  EndCause cause = EndCause::kNone;
  int64_t started_ns = 0;
  int64_t run_ns = 0;
};

// The engine's finding about a revoked entry, not told to the scheduler yet.
struct Answer {
  TaskSlot task;
  bool revoked;  // else it was claimed
};

// A worker process and its lane as they really are, whoever knows of it. It claims its entries in order,
// one at a time, and a finished entry leaves the lane in the moment its result is published.
class FakeWorker {
 public:
  FakeWorker(WorkerKey key, PoolKey pool, bool dedicated)
      : key_(key), pool_(pool), dedicated_(dedicated) {}

  WorkerKey key() const { return key_; }
  PoolKey pool() const { return pool_; }
  bool dedicated() const { return dedicated_; }

  // --- engine's side of the lane ---
  void Push(TaskSlot task, bool notify_start);
  // The compare-and-swap of the claim word: false if the entry is claimed or gone.
  bool TakeBack(TaskSlot task);
  size_t lane_size() const { return lane_.size(); }
  bool Holds(TaskSlot task) const;

  // --- worker's side ---
  // Claims the first entry; kNone if there is none or one is claimed.
  TaskSlot Claim(int64_t now_ns);
  TaskSlot running() const { return claimed_ ? lane_.front().task : kNone; }
  int64_t running_since_ns() const { return claimed_ns_; }
  void Finish(EndCause cause, int64_t now_ns);
  // From here on nothing happens in it any more. What it published can still be read.
  void Die(EndCause cause);
  bool dead() const { return death_ != EndCause::kNone; }
  // Stopped: it claims and finishes nothing. The engine can't tell.
  bool asleep = false;
  EndCause death() const { return death_; }

  std::deque<Message> up;      // read from the front
  std::deque<Answer> answers;  // told before anything later in `up`

  // --- what the scheduler can know ---
  size_t assigned = 0;         // tasks in its lane for all that was reported
  int64_t moved_ns = 0;        // when that last moved
  bool retired = false;        // to end when it is empty
  bool killed = false;         // kKillWorker came
  bool idle_reported = false;  // kWorkerIdle came and nothing was dispatched since
  bool suspect = false;        // gave an old entry back and got none since: it may have to rest

 private:
  struct Entry {
    TaskSlot task;
    bool notify_start;
  };

  WorkerKey key_;
  PoolKey pool_;
  bool dedicated_;
  std::deque<Entry> lane_;
  bool claimed_ = false;  // lane_.front() is
  int64_t claimed_ns_ = 0;
  EndCause death_ = EndCause::kNone;
};

}  // namespace prefork::simulation

#endif  // PREFORK_TESTS_SIMULATION_FAKE_WORKER_H_
