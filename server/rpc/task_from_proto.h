#ifndef PREFORK_SERVER_RPC_TASK_FROM_PROTO_H_
#define PREFORK_SERVER_RPC_TASK_FROM_PROTO_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "prefork/v1/task.pb.h"
#include "prefork/v1/task_service.pb.h"
#include "server/engine/options.h"

// What clients ask for, checked and in the engine's terms. Whether a pool or function exists is the
// engine's to say.
namespace prefork::rpc {

// The options of `spec`, all but payload, stdin and request ID. INVALID_ARGUMENT names the fields
// below `path` (empty, or ending in a dot).
absl::StatusOr<std::shared_ptr<const engine::TaskOptions>> ReadTaskOptions(const v1::TaskSpec& spec,
                                                                           absl::string_view path);

// `own` over `defaults`, field by field; messages, maps and lists replace as a whole.
v1::TaskSpec MergeTaskSpecs(const v1::TaskSpec& defaults, const v1::TaskSpec& own);

// At most 255 bytes.
absl::Status CheckRequestId(absl::string_view request_id, absl::string_view path);

// INVALID_ARGUMENT for `field` when the payload is larger than the daemon takes.
absl::Status CheckPayloadSize(uint64_t size_bytes, size_t max_bytes, absl::string_view field);

// What the task's function or command is fed: the payload, or else the command's stdin.
const std::string& PayloadOf(const v1::TaskSpec& spec);

// INVALID_ARGUMENT for an unknown state.
absl::StatusOr<engine::TaskFilter> ReadTaskFilter(const v1::TaskFilter& filter);

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_TASK_FROM_PROTO_H_
