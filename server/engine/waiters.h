#ifndef PREFORK_SERVER_ENGINE_WAITERS_H_
#define PREFORK_SERVER_ENGINE_WAITERS_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "server/engine/task_record.h"
#include "server/engine/types.h"

namespace prefork::engine {

// Who wants to be called when a task is terminal.
class Waiters {
 public:
  using Done = std::function<void(const TaskInfo&)>;

  // Returns an ID for Cancel, never 0. The caller sets the record's has_waiters.
  uint64_t Add(TaskSlot slot, Done done);
  void Cancel(uint64_t wait_id);
  // All that wait for the task, in the order of Add; they are forgotten here.
  std::vector<Done> Take(TaskSlot slot);

 private:
  struct Waiter {
    uint64_t id;
    Done done;
  };
  uint64_t next_id_ = 1;
  absl::flat_hash_map<TaskSlot, std::vector<Waiter>> by_task_;
  absl::flat_hash_map<uint64_t, TaskSlot> task_of_;
};

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_WAITERS_H_
