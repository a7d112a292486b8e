#ifndef PREFORK_SERVER_ENGINE_LANE_FEEDER_H_
#define PREFORK_SERVER_ENGINE_LANE_FEEDER_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "server/engine/task_record.h"
#include "server/engine/worker_link.h"

namespace prefork::engine {

enum class FeedResult {
  kFed,
  kLaneFull,     // until the worker gives room back
  kShortage,     // the daemon lacks memory or descriptors now; the worker has no part in it
  kUnreachable,  // the worker is ending, or does not read its control socket
  kNever,        // no worker can be given this task
};

// Puts a task into its worker's lane; the worker sees it after PublishLane. A task that is not fed
// is not in the link, and `why` says why it isn't.
FeedResult FeedLane(WorkerLink& link, TaskSlot slot, const TaskRecord& task, uint32_t attempt,
                    uint32_t flags, std::string* why);

// Takes a task back. False: the worker has claimed it. A task that is not in the lane (any more)
// counts as claimed.
bool RevokeFromLane(WorkerLink& link, TaskSlot slot);

// Makes everything fed so far visible and wakes the worker if it sleeps.
void PublishLane(WorkerLink& link);

// Bytes that a task takes in a lane when its payload is inline. At most
// QueueProducer::max_body_bytes can be carried.
size_t LaneBytes(const TaskOptions& options, size_t payload_bytes);

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_LANE_FEEDER_H_
