#ifndef PREFORK_CLIENT_CPP_CONVERT_H_
#define PREFORK_CLIENT_CPP_CONVERT_H_

#include <optional>

#include "absl/time/time.h"
#include "prefork/task.h"
#include "prefork/v1/event.pb.h"
#include "prefork/v1/task.pb.h"

// Between the public structs and the API's messages. Enums have the same numbers on both sides.
namespace prefork::client {

v1::TaskSpec ToProto(const TaskSpec& spec);
// All but what belongs to one task only: payload and request ID.
v1::TaskSpec SharedToProto(const TaskSpec& spec);

// Take what they can out of the message.
TaskResult FromProto(v1::TaskResult&& result);
ExitReport FromProto(const v1::ExitReport& report);
// Nothing for the event that ends a task, and for kinds that this version does not know.
std::optional<TaskEvent> FromProto(v1::TaskEvent&& event);

void ToProto(absl::Duration duration, google::protobuf::Duration* out);
absl::Duration FromProto(const google::protobuf::Duration& duration);
absl::Time FromProto(const google::protobuf::Timestamp& time);

}  // namespace prefork::client

#endif  // PREFORK_CLIENT_CPP_CONVERT_H_
