#ifndef PREFORK_CLIENT_CPP_API_IMPL_H_
#define PREFORK_CLIENT_CPP_API_IMPL_H_

#include <memory>

#include "client/cpp/channel.h"
#include "prefork/api.h"

namespace prefork::client {

std::unique_ptr<Api> MakeApi(const Connection& connection, const ConnectOptions& options);

}  // namespace prefork::client

#endif  // PREFORK_CLIENT_CPP_API_IMPL_H_
