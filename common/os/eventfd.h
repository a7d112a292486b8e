#ifndef PREFORK_COMMON_OS_EVENTFD_H_
#define PREFORK_COMMON_OS_EVENTFD_H_

#include "absl/status/statusor.h"
#include "common/os/fd.h"

namespace prefork::os {

// A non-blocking eventfd with counter zero.
absl::StatusOr<Fd> CreateEventfd();
// Adds one and so wakes whoever polls. A full counter is left alone: it is readable already.
void SignalEventfd(int fd);
// Sets the counter to zero. Needed only where the descriptor is polled level-triggered.
void ClearEventfd(int fd);

}  // namespace prefork::os

#endif  // PREFORK_COMMON_OS_EVENTFD_H_
