#ifndef PREFORK_CLIENT_PYTHON_NATIVE_CLIENT_ERRORS_H_
#define PREFORK_CLIENT_PYTHON_NATIVE_CLIENT_ERRORS_H_

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace prefork::python {

// "SEGMENT_MEMORY_FULL"; empty if the daemon gave none.
std::string ReasonOf(const absl::Status& status);

// Raises what prefork.errors.from_status makes of the status. REQUIRES: not OK; the GIL.
[[noreturn]] void Raise(const absl::Status& status);

inline void RaiseUnlessOk(const absl::Status& status) {
  if (!status.ok()) Raise(status);
}

template <typename T>
T ValueOrRaise(absl::StatusOr<T> value) {
  if (!value.ok()) Raise(value.status());
  return *std::move(value);
}

}  // namespace prefork::python

#endif  // PREFORK_CLIENT_PYTHON_NATIVE_CLIENT_ERRORS_H_
