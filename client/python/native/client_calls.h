#ifndef PREFORK_CLIENT_PYTHON_NATIVE_CLIENT_CALLS_H_
#define PREFORK_CLIENT_PYTHON_NATIVE_CLIENT_CALLS_H_

#include <string>

#include "absl/status/statusor.h"
#include "prefork/api.h"

namespace prefork::python {

// Makes one of the daemon's calls beside the session, "GetTask" or "CreatePool", with the request
// and the response as the JSON form of the API's messages. INVALID_ARGUMENT for a method that is
// not known and a request that can't be read. Needs no GIL.
absl::StatusOr<std::string> Call(client::Api& api, const std::string& method,
                                 const std::string& request);

}  // namespace prefork::python

#endif  // PREFORK_CLIENT_PYTHON_NATIVE_CLIENT_CALLS_H_
