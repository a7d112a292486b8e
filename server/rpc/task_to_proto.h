#ifndef PREFORK_SERVER_RPC_TASK_TO_PROTO_H_
#define PREFORK_SERVER_RPC_TASK_TO_PROTO_H_

#include <string_view>
#include <vector>

#include "prefork/v1/task.pb.h"
#include "server/engine/types.h"

// What is known about tasks, in the words of the API. Text that came from a worker is cleaned: a
// string field with invalid UTF-8 would make the whole message unreadable for the client.
namespace prefork::rpc {

// Values up to this size are part of a TaskResult; larger ones are for ReadValue.
inline constexpr size_t kMaxInlineValueBytes = 256 << 10;

void ToProto(const engine::ExitReport& report, v1::ExitReport* out);
void ToProto(const engine::ProgressReport& progress, v1::Progress* out);
// Without payload, stdin and request ID.
void ToProto(const engine::TaskOptions& options, v1::TaskSpec* out);
void ToProto(const engine::TaskInfo& info, v1::Task* out);
// Without its value; value_bytes tells its size.
void ToProtoWithoutValue(const engine::TaskInfo& info, v1::Task* out);

// The end of a task as an event tells it. `report` and `earlier` may be null.
void ResultToProto(scheduler::TaskState state, const engine::Bytes& value,
                   std::string_view content_type, std::string_view error,
                   const engine::ExitReport* report, const std::vector<engine::ExitReport>* earlier,
                   v1::TaskResult* out);

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_TASK_TO_PROTO_H_
