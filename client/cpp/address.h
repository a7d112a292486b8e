#ifndef PREFORK_CLIENT_CPP_ADDRESS_H_
#define PREFORK_CLIENT_CPP_ADDRESS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace prefork::client {

// Where a daemon may listen.
struct AddressChoice {
  std::vector<std::string> socket_paths;  // in the order in which they are tried
  bool chosen = false;                    // somebody named it, so no other daemon will do
};

// `given` ("unix:/path" or "/path") if not empty, else $PREFORK_ADDRESS, else the user's and the
// system's daemon. INVALID_ARGUMENT quotes an address that is no path of a Unix socket.
absl::StatusOr<AddressChoice> ResolveAddress(const std::string& given);

// Connects to the socket and hangs up again: OK when a daemon listens there. UNAVAILABLE when the
// file is missing or nobody listens, PERMISSION_DENIED when we may not; the message says which.
absl::Status ProbeSocket(const std::string& path);

}  // namespace prefork::client

#endif  // PREFORK_CLIENT_CPP_ADDRESS_H_
