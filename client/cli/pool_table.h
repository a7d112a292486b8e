#ifndef PREFORK_CLIENT_CLI_POOL_TABLE_H_
#define PREFORK_CLIENT_CLI_POOL_TABLE_H_

#include <google/protobuf/repeated_ptr_field.h>

#include <string>

#include "client/cli/context.h"
#include "client/cli/table.h"
#include "prefork/v1/pool.pb.h"

namespace prefork::cli {

Table PoolTable(const google::protobuf::RepeatedPtrField<v1::Pool>& pools);
Table WorkerTable(Context& context, const google::protobuf::RepeatedPtrField<v1::Worker>& workers);

// "2 busy, 1 idle; 14 queued", what a pool's workers do now.
std::string WorkersLine(const v1::Pool& pool);

}  // namespace prefork::cli

#endif  // PREFORK_CLIENT_CLI_POOL_TABLE_H_
