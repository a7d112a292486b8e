#ifndef PREFORK_SERVER_POOL_SLOT_H_
#define PREFORK_SERVER_POOL_SLOT_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "common/os/event_loop.h"
#include "server/pool/deadline.h"
#include "server/pool/death_tally.h"
#include "server/pool/recycle_meter.h"
#include "server/pool/restart_pacer.h"
#include "server/pool/worker_process.h"
#include "server/pool/zygote_process.h"

namespace prefork::pool {

class Slot;

// A worker process with what its pool has to remember about it.
struct PooledWorker {
  PooledWorker(std::unique_ptr<WorkerProcess> its_process, ZygoteProcess* its_zygote,
               Slot* its_slot, const PoolSpec& spec, os::EventLoop* loop)
      : process(std::move(its_process)),
        zygote(its_zygote),
        slot(its_slot),
        meter(spec),
        retire_reason(its_slot == nullptr ? ExitReason::kDedicatedDone : ExitReason::kRecycled),
        age(loop),
        probation(loop) {}

  std::unique_ptr<WorkerProcess> process;
  ZygoteProcess* zygote;  // null once that is dead
  Slot* slot;             // null: dedicated
  RecycleMeter meter;
  bool wants_retirement = false;
  ExitReason retire_reason;
  std::optional<DeathTally::Kind> failure;  // how its end counts against the pool
  Deadline age;                             // until it is old enough to be recycled
  Deadline probation;                       // until it is no longer young
};

// One of a pool's places: the worker that serves it now, the replacement on its way, and the pace
// of restarts. A worker that was told to retire, or is dead, has left its slot.
class Slot {
 public:
  explicit Slot(uint32_t index) : index_(index) {}

  uint32_t index() const { return index_; }
  uint32_t TakeGeneration() { return next_generation_++; }
  RestartPacer& pacer() { return pacer_; }
  PooledWorker* serving() const { return serving_; }
  PooledWorker* replacement() const { return replacement_; }

  // The serving worker is to be replaced, and to serve until the replacement is ready.
  void Renew() { renew_ = serving_ != nullptr; }
  bool renewing() const { return renew_; }
  // Should a worker be forked?
  bool NeedsFork() const { return serving_ == nullptr || (renew_ && replacement_ == nullptr); }
  // A worker is being forked for this slot.
  void Attach(PooledWorker* worker);
  // `worker` is ready. Returns the one it replaces, which has left the slot; or null.
  PooledWorker* Ready(PooledWorker* worker);
  // `worker` leaves; no effect if it is not in the slot.
  void Detach(PooledWorker* worker);

 private:
  const uint32_t index_;
  uint32_t next_generation_ = 1;
  RestartPacer pacer_;
  PooledWorker* serving_ = nullptr;
  PooledWorker* replacement_ = nullptr;  // only while serving_ is set
  bool renew_ = false;
};

}  // namespace prefork::pool

#endif  // PREFORK_SERVER_POOL_SLOT_H_
