#ifndef PREFORK_CLIENT_CPP_CHANNEL_H_
#define PREFORK_CLIENT_CPP_CHANNEL_H_

#include <grpcpp/channel.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "prefork/client.h"

namespace prefork::client {

struct Connection {
  std::shared_ptr<grpc::Channel> channel;
  std::string address;  // "unix:/path"
};

// Finds the daemon, or starts one, as ConnectOptions says. UNAVAILABLE lists what was tried and the
// cure.
absl::StatusOr<Connection> OpenChannel(const ConnectOptions& options, absl::Time deadline);

}  // namespace prefork::client

#endif  // PREFORK_CLIENT_CPP_CHANNEL_H_
