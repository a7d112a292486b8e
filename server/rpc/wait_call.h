#ifndef PREFORK_SERVER_RPC_WAIT_CALL_H_
#define PREFORK_SERVER_RPC_WAIT_CALL_H_

#include <functional>
#include <memory>
#include <optional>

#include "absl/time/time.h"
#include "server/engine/engine.h"
#include "server/rpc/unary_call.h"

namespace prefork::rpc {

// Answers `call` through `done` when the task is terminal, or, if `timeout` is set and passes first,
// with what the task is then. A client that goes ends the wait. `done` runs at most once. Engine thread.
void WaitForTask(const std::shared_ptr<UnaryCall>& call, engine::TaskId task,
                 std::optional<absl::Duration> timeout,
                 std::function<void(const engine::TaskInfo&)> done);

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_WAIT_CALL_H_
