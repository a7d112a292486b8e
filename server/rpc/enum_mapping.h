#ifndef PREFORK_SERVER_RPC_ENUM_MAPPING_H_
#define PREFORK_SERVER_RPC_ENUM_MAPPING_H_

#include <optional>

#include "prefork/v1/pool.pb.h"
#include "prefork/v1/task.pb.h"
#include "server/engine/types.h"

// The daemon's enums and those of the API. From the API: nullopt for UNSPECIFIED and for values that
// this daemon does not know.
namespace prefork::rpc {

v1::TaskState ToProto(scheduler::TaskState state);
v1::EndCause ToProto(scheduler::EndCause cause);
v1::OutputStream ToProto(engine::OutputStream stream);
v1::Runtime ToProto(pool::Runtime runtime);
v1::PoolState ToProto(engine::PoolState state);
v1::WorkerState ToProto(engine::WorkerState state);
v1::WorkerExitReason ToProto(pool::ExitReason reason);

std::optional<scheduler::TaskState> FromProto(v1::TaskState state);
std::optional<engine::OutputStream> FromProto(v1::OutputStream stream);
std::optional<pool::Runtime> FromProto(v1::Runtime runtime);
// RLIMIT_*.
std::optional<int> FromProto(v1::ResourceLimit::Resource resource);
std::optional<v1::ResourceLimit::Resource> ResourceToProto(int rlimit);
// One bit of scheduler::RetryPolicy::on.
std::optional<uint32_t> FromProto(v1::RetryPolicy::Cause cause);

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_ENUM_MAPPING_H_
