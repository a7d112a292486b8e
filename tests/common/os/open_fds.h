#ifndef PREFORK_TESTS_COMMON_OS_OPEN_FDS_H_
#define PREFORK_TESTS_COMMON_OS_OPEN_FDS_H_

#include <fcntl.h>
#include <sys/resource.h>

#include <vector>

#include "common/os/fd.h"

namespace prefork::os {

// How many descriptors below the soft limit this process has open; for tests that must not leak
// any. Needs none itself.
inline int CountOpenFds() {
  rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  int count = 0;
  for (int fd = 0; fd < static_cast<int>(limit.rlim_cur) && fd < 4096; ++fd)
    count += fcntl(fd, F_GETFD) >= 0;
  return count;
}

// As long as it lives, this process can open only `spare` more descriptors.
class FdShortage {
 public:
  explicit FdShortage(int spare) {
    getrlimit(RLIMIT_NOFILE, &limit_);
    const rlimit tight = {64, limit_.rlim_max};
    setrlimit(RLIMIT_NOFILE, &tight);
    for (;;) {
      Fd fd(fcntl(0, F_DUPFD_CLOEXEC, 0));
      if (!fd.valid()) break;
      fds_.push_back(std::move(fd));
    }
    for (; spare > 0; --spare) fds_.pop_back();
  }
  ~FdShortage() { setrlimit(RLIMIT_NOFILE, &limit_); }
  FdShortage(const FdShortage&) = delete;
  FdShortage& operator=(const FdShortage&) = delete;

 private:
  rlimit limit_{};
  std::vector<Fd> fds_;
};

}  // namespace prefork::os

#endif  // PREFORK_TESTS_COMMON_OS_OPEN_FDS_H_
