#include "common/os/mapping.h"

#include <sys/mman.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "common/os/errno_status.h"

namespace prefork::os {

absl::StatusOr<Mapping> Mapping::Create(int fd, size_t size_bytes, Access access) {
  const int protection = access == Access::kRead ? PROT_READ : PROT_READ | PROT_WRITE;
  void* address = mmap(nullptr, size_bytes, protection, MAP_SHARED, fd, 0);
  if (address == MAP_FAILED) {
    return ErrnoStatus(errno, absl::StrCat("mmap of ", size_bytes, " bytes of descriptor ", fd));
  }
  return Mapping(static_cast<std::byte*>(address), size_bytes);
}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

Mapping::~Mapping() {
  if (data_ != nullptr) munmap(data_, size_);
}

}  // namespace prefork::os
