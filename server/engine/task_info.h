#ifndef PREFORK_SERVER_ENGINE_TASK_INFO_H_
#define PREFORK_SERVER_ENGINE_TASK_INFO_H_

#include "server/engine/core.h"
#include "server/engine/types.h"

namespace prefork::engine {

// A snapshot of everything that is known of a task.
TaskInfo MakeTaskInfo(const Core& core, TaskSlot slot);

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_TASK_INFO_H_
