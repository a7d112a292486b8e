#ifndef PREFORK_SERVER_RPC_POOL_MAPPING_H_
#define PREFORK_SERVER_RPC_POOL_MAPPING_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "prefork/v1/pool.pb.h"
#include "prefork/v1/pool_service.pb.h"
#include "server/engine/types.h"

// Pools, workers and the daemon itself in the words of the API.
namespace prefork::rpc {

// Of one pool.

void ToProto(const pool::PoolSpec& spec, v1::PoolSpec* out);
void ToProto(const engine::PoolInfo& info, v1::Pool* out);
void ToProto(const engine::WorkerInfo& info, v1::Worker* out);
void ToProto(const engine::FunctionInfo& info, v1::Function* out);
// All but what the process knows of itself (version, pid, addresses, RSS).
void ToProto(const engine::StatusInfo& info, v1::DaemonStatus* out);

// Unset fields are taken from `defaults`. INVALID_ARGUMENT names the fields, below "pool.".
absl::StatusOr<pool::PoolSpec> FromProto(const v1::PoolSpec& spec, const pool::PoolSpec& defaults);

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_POOL_MAPPING_H_
