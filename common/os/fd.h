#ifndef PREFORK_COMMON_OS_FD_H_
#define PREFORK_COMMON_OS_FD_H_

#include <utility>

#include "absl/status/statusor.h"

namespace prefork::os {

// Owns one file descriptor and closes it. Movable, not copyable; -1 owns nothing.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.Release()) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) Reset(other.Release());
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { Reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }

  // A second descriptor for the same file, closed on exec. Fails with the errno of fcntl.
  absl::StatusOr<Fd> Duplicate() const;
  // Gives the descriptor up; the caller closes it.
  [[nodiscard]] int Release() { return std::exchange(fd_, -1); }
  // Closes the descriptor held, if any, and takes `fd`.
  void Reset(int fd = -1);

 private:
  int fd_ = -1;
};

}  // namespace prefork::os

#endif  // PREFORK_COMMON_OS_FD_H_
