#ifndef PREFORK_SERVER_ENGINE_ERRORS_H_
#define PREFORK_SERVER_ENGINE_ERRORS_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"

// Errors of the engine: a code and a message for people, plus a stable reason and the name of the
// resource it is about for programs. rpc turns these into google.rpc details.
namespace prefork::engine {

namespace reason {
inline constexpr char kTaskNotFound[] = "TASK_NOT_FOUND";
inline constexpr char kPoolNotFound[] = "POOL_NOT_FOUND";
inline constexpr char kWorkerNotFound[] = "WORKER_NOT_FOUND";
inline constexpr char kFunctionNotFound[] = "FUNCTION_NOT_FOUND";
inline constexpr char kQueueFull[] = "QUEUE_FULL";
inline constexpr char kQueueBytesFull[] = "QUEUE_BYTES_FULL";
inline constexpr char kSegmentsFull[] = "SEGMENT_MEMORY_FULL";
inline constexpr char kSegmentNotFound[] = "SEGMENT_NOT_FOUND";
inline constexpr char kPayloadNotKept[] = "PAYLOAD_NOT_KEPT";
inline constexpr char kPayloadTooLarge[] = "PAYLOAD_TOO_LARGE";
inline constexpr char kInvalidTask[] = "INVALID_TASK";
inline constexpr char kInvalidPool[] = "INVALID_POOL";
inline constexpr char kInvalidSignal[] = "INVALID_SIGNAL";
inline constexpr char kWrongRuntime[] = "WRONG_RUNTIME";
inline constexpr char kRequestIdReused[] = "REQUEST_ID_REUSED";
inline constexpr char kDraining[] = "DRAINING";
inline constexpr char kPoolDraining[] = "POOL_DRAINING";
inline constexpr char kNotPermitted[] = "NOT_PERMITTED";
inline constexpr char kTaskNotRunning[] = "TASK_NOT_RUNNING";
inline constexpr char kTaskNotFinished[] = "TASK_NOT_FINISHED";
inline constexpr char kPoolExists[] = "POOL_EXISTS";
inline constexpr char kPoolBusy[] = "POOL_HAS_UNFINISHED_TASKS";
inline constexpr char kPoolDeleted[] = "POOL_DELETED";
inline constexpr char kTooManyPools[] = "TOO_MANY_POOLS";
inline constexpr char kWrongGeneration[] = "WRONG_GENERATION";
inline constexpr char kTakenOver[] = "TASK_TAKEN_OVER";
inline constexpr char kEventsNotKept[] = "EVENTS_NOT_KEPT";
inline constexpr char kWatchTooSlow[] = "WATCH_TOO_SLOW";
inline constexpr char kResultsUnread[] = "RESULTS_UNREAD";
inline constexpr char kShutdown[] = "SHUTDOWN";
}  // namespace reason

// A status with `reason` (one of the above) and the name of what it is about, for example a pool.
absl::Status MakeError(absl::StatusCode code, std::string_view reason, const std::string& message,
                       std::string_view resource = {});
// Empty when the status was not made here.
std::string ReasonOf(const absl::Status& status);
std::string ResourceOf(const absl::Status& status);

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_ERRORS_H_
