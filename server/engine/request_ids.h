#ifndef PREFORK_SERVER_ENGINE_REQUEST_IDS_H_
#define PREFORK_SERVER_ENGINE_REQUEST_IDS_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "server/engine/task_table.h"
#include "server/engine/types.h"

namespace prefork::engine {

// Which task a user's request ID stands for, so that a repeated submit is the same task. Lives as
// long as the task is known. Bodies are compared as a whole, not by a hash, because the first one
// is still there.
class RequestIds {
 public:
  // `tasks` is not owned.
  explicit RequestIds(const TaskTable* tasks) : tasks_(tasks) {}

  // The task that `submission` repeats, or kNone when its ID is new. ALREADY_EXISTS: the ID was
  // used with another body; names the task.
  absl::StatusOr<TaskSlot> Find(uint32_t uid, const TaskSubmission& submission) const;
  void Add(uint32_t uid, const std::string& request_id, TaskSlot slot);
  void Remove(uint32_t uid, const std::string& request_id);

 private:
  const TaskTable* const tasks_;
  absl::flat_hash_map<std::pair<uint32_t, std::string>, TaskSlot> slots_;
};

// Do two submissions ask for the same work?
bool SameOptions(const TaskOptions& a, const TaskOptions& b);

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_REQUEST_IDS_H_
