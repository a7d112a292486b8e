#ifndef PREFORK_COMMON_OS_PIPE_H_
#define PREFORK_COMMON_OS_PIPE_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/os/fd.h"

namespace prefork::os {

struct Pipe {
  Fd read_end;
  Fd write_end;
};
// Both ends close on exec and block; use SetNonBlocking for the end that an event loop reads.
absl::StatusOr<Pipe> CreatePipe();
absl::Status SetNonBlocking(int fd, bool non_blocking);

}  // namespace prefork::os

#endif  // PREFORK_COMMON_OS_PIPE_H_
