#ifndef PREFORK_SERVER_RPC_EVENT_TO_PROTO_H_
#define PREFORK_SERVER_RPC_EVENT_TO_PROTO_H_

#include "prefork/v1/event.pb.h"
#include "server/engine/types.h"

namespace prefork::rpc {

// An entry of the event log in the words of the API. Of the kind kFinished only the identity is set:
// its TaskResult comes separately (ResultToProto).
void ToProto(const engine::EventRecord& record, v1::Event* out);
// What a session sees of a task's event. REQUIRES: it is about a task.
void ToProto(const engine::EventRecord& record, v1::TaskEvent* out);

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_EVENT_TO_PROTO_H_
