#include "common/os/memfd.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/os/errno_status.h"
#include "common/os/proc_file.h"

namespace prefork::os {
namespace {

// From here on it is worth a look at the memory there is.
constexpr size_t kLargeBytes = size_t{16} << 20;

// The kernel hands out pages to fallocate until it has none left and then kills processes, so what
// can't be there is refused before. What can't be read sets no limit.
absl::Status CheckMemoryAvailable(const char* name, size_t size_bytes) {
  const absl::StatusOr<std::string> content = ReadSmallFile("/proc/meminfo");
  if (!content.ok()) return absl::OkStatus();
  for (absl::string_view line : absl::StrSplit(*content, '\n')) {
    if (!absl::ConsumePrefix(&line, "MemAvailable:") || !absl::ConsumeSuffix(&line, " kB"))
      continue;
    uint64_t available_kib;
    if (!absl::SimpleAtoi(line, &available_kib) || size_bytes / 1024 < available_kib) break;
    return absl::ResourceExhaustedError(
        absl::StrCat("memfd ", name, " of ", size_bytes, " bytes: only ", available_kib * 1024,
                     " bytes of memory are available; free memory or use smaller payloads"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Fd> CreateSealedMemfd(const char* name, size_t size_bytes) {
  if (size_bytes >= kLargeBytes) {
    if (absl::Status status = CheckMemoryAvailable(name, size_bytes); !status.ok()) return status;
  }
  Fd fd(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) return ErrnoStatus(errno, absl::StrCat("memfd_create(", name, ")"));
  int result;
  do {
    result = fallocate(fd.get(), 0, 0, static_cast<off_t>(size_bytes));
  } while (result != 0 && errno == EINTR);
  if (result != 0) {
    return ErrnoStatus(errno, absl::StrCat("fallocate of ", size_bytes, " bytes for memfd ", name));
  }
  if (fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return ErrnoStatus(errno, absl::StrCat("fcntl(F_ADD_SEALS) of memfd ", name));
  }
  return fd;
}

absl::StatusOr<Fd> ReopenReadOnly(int fd) {
  const std::string path = absl::StrCat("/proc/self/fd/", fd);
  Fd opened(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!opened.valid()) return ErrnoStatus(errno, absl::StrCat("open ", path, " for reading"));
  return opened;
}

void DiscardPages(int fd, size_t size_bytes) {
  fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(size_bytes));
}

absl::StatusOr<uint64_t> CheckSealedMemfd(int fd) {
  const int seals = fcntl(fd, F_GET_SEALS);
  if (seals < 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        absl::ErrnoToStatus(errno, absl::StrCat("fcntl(F_GET_SEALS) of descriptor ", fd)).message(),
        "; a memfd made with MFD_ALLOW_SEALING is needed"));
  }
  if ((seals & F_SEAL_SHRINK) == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("memfd at descriptor ", fd, " lacks F_SEAL_SHRINK"));
  }
  if ((seals & F_SEAL_GROW) == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("memfd at descriptor ", fd, " lacks F_SEAL_GROW"));
  }
  struct stat status;
  if (fstat(fd, &status) != 0) return ErrnoStatus(errno, absl::StrCat("fstat of descriptor ", fd));
  return static_cast<uint64_t>(status.st_size);
}

}  // namespace prefork::os
