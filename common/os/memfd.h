#ifndef PREFORK_COMMON_OS_MEMFD_H_
#define PREFORK_COMMON_OS_MEMFD_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/os/fd.h"

namespace prefork::os {

// An anonymous memory file of `size_bytes`, every page allocated now (so that touching it later
// never raises SIGBUS), its size sealed for ever. `name` shows up in /proc/PID/maps only.
// RESOURCE_EXHAUSTED when memory or descriptors run out.
absl::StatusOr<Fd> CreateSealedMemfd(const char* name, size_t size_bytes);

// Opens the file of a descriptor once more, for reading only: for somebody who must not write.
absl::StatusOr<Fd> ReopenReadOnly(int fd);
// Gives all pages of a memory file back to the kernel, also from under those who have it mapped:
// they read zeros from then on. The size stays.
void DiscardPages(int fd, size_t size_bytes);

// Checks a memory file that came from elsewhere: a regular memfd whose size can't change. Returns
// its size. FAILED_PRECONDITION says which seal is missing.
absl::StatusOr<uint64_t> CheckSealedMemfd(int fd);

}  // namespace prefork::os

#endif  // PREFORK_COMMON_OS_MEMFD_H_
