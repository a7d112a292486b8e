#ifndef PREFORK_SERVER_RPC_VALUE_SENDER_H_
#define PREFORK_SERVER_RPC_VALUE_SENDER_H_

#include <cstdint>
#include <string_view>

#include "server/engine/types.h"

namespace prefork::rpc {

// Hands values to clients on this host by descriptor.
class ValueSender {
 public:
  virtual ~ValueSender() = default;
  // Leases the value's segment to the connection with this token and sends it there. Returns the
  // segment's ID; 0: not sent, because the value lies in none, the client is gone, does not read, or
  // has as much as it may have. Thread-safe; does not wait.
  virtual uint64_t Send(std::string_view token, uint32_t uid, const engine::Bytes& value) = 0;
};

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_VALUE_SENDER_H_
