#ifndef PREFORK_SERVER_ENGINE_ADMISSION_H_
#define PREFORK_SERVER_ENGINE_ADMISSION_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/engine/core.h"
#include "server/engine/pool_entry.h"
#include "server/engine/task_life.h"
#include "server/engine/types.h"

namespace prefork::engine {

// Decides whether a submitted task is accepted, and makes it one. What the tasks of a batch share
// is looked at once.
class Admission {
 public:
  // Nothing is owned.
  Admission(Core* core, const PoolTable* pools, TaskLife* life)
      : core_(core), pools_(pools), life_(life) {}

  struct Accepted {
    TaskSlot slot = kNone;
    bool existing = false;  // an earlier submit with this request ID had made it
  };
  // `session` may be null. `encoded`: the payload is what a worker gets already (a retry of a
  // record's). Refusals leave no trace; see errors.h for the reasons.
  absl::StatusOr<Accepted> Submit(uint32_t uid, scheduler::ClientKey client, Session* session,
                                  TaskSubmission task, bool encoded = false);
  // What was looked at may be different now: a pool or predecessor may have gone. Call before each
  // batch.
  void ForgetOptions() { checked_.reset(); }

 private:
  absl::Status CheckOptions(const TaskOptions& options);
  absl::Status CheckPayload(TaskSubmission* task, uint32_t uid, bool encoded);
  absl::Status PrepareSpec(const TaskOptions& options);
  int64_t NotBefore(const TaskOptions& options) const;

  Core* const core_;
  const PoolTable* const pools_;
  TaskLife* const life_;
  // The options looked at last, what came of it, and what the scheduler is told of such tasks.
  std::shared_ptr<const TaskOptions> checked_;
  absl::Status verdict_;
  PoolEntry* pool_ = nullptr;
  scheduler::TaskSpec spec_;
};

// Puts bytes into the form the engine wants: inline up to the threshold, else in a segment. Leaves
// them as they are when it fails.
absl::StatusOr<Bytes> PackBytes(const EngineOptions& options, shm::SegmentPool& segments,
                                std::string&& bytes, uint32_t owner_uid);

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_ADMISSION_H_
