#include "common/os/proc_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "common/os/errno_status.h"
#include "common/os/fd.h"

namespace prefork::os {
namespace {

constexpr size_t kMaxBytes = size_t{1} << 20;

absl::Status FileStatus(int error_number, absl::string_view call, const std::string& path) {
  if (error_number == ESRCH) error_number = ENOENT;  // a /proc file whose process ended meanwhile
  return ErrnoStatus(error_number, absl::StrCat(call, " ", path));
}

}  // namespace

absl::StatusOr<std::string> ReadSmallFile(const std::string& path) {
  Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return FileStatus(errno, "open", path);
  std::string content;
  char buffer[4096];
  while (content.size() <= kMaxBytes) {
    const ssize_t got = read(fd.get(), buffer, sizeof(buffer));
    if (got == 0) return content;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FileStatus(errno, "read", path);
    content.append(buffer, static_cast<size_t>(got));
  }
  return absl::OutOfRangeError(absl::StrCat(path, " has more than ", kMaxBytes, " bytes"));
}

}  // namespace prefork::os
