#ifndef PREFORK_SERVER_ENGINE_TASK_CHECK_H_
#define PREFORK_SERVER_ENGINE_TASK_CHECK_H_

#include "absl/status/status.h"
#include "server/engine/pool_entry.h"
#include "server/engine/types.h"

namespace prefork::engine {

// Are the options sound in themselves, whatever the pool? INVALID_ARGUMENT names the field.
absl::Status CheckTaskOptions(const TaskOptions& options);
// Can this pool run such a task? INVALID_ARGUMENT for the wrong runtime, NOT_FOUND for an unknown
// function, with the nearest match. `pools` is for naming a better one.
absl::Status CheckTaskForPool(const TaskOptions& options, const PoolEntry& pool,
                              const PoolTable& pools);

absl::Status NoSuchPool(const std::string& name, const PoolTable& pools);

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_TASK_CHECK_H_
