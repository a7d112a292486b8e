#include "common/os/mapping.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

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

absl::StatusOr<std::span<std::byte>> Mapping::LeaveCopy() {
  void* const copy =
      mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (copy == MAP_FAILED) return ErrnoStatus(errno, absl::StrCat("mmap of ", size_, " bytes"));
  // An old size of 0 maps the same pages a second time.
  void* const elsewhere = mremap(data_, 0, size_, MREMAP_MAYMOVE);
  if (elsewhere == MAP_FAILED) {
    const int error_number = errno;
    munmap(copy, size_);
    return ErrnoStatus(error_number, absl::StrCat("mremap of ", size_, " bytes"));
  }
  std::memcpy(copy, data_, size_);
  // Replaces the old mapping in one step. With both ranges there it has nothing to allocate.
  if (mremap(copy, size_, size_, MREMAP_MAYMOVE | MREMAP_FIXED, data_) == MAP_FAILED) {
    const int error_number = errno;
    munmap(copy, size_);
    munmap(elsewhere, size_);
    return ErrnoStatus(error_number, absl::StrCat("mremap of ", size_, " bytes"));
  }
  const std::span<std::byte> left(data_, size_);
  data_ = static_cast<std::byte*>(elsewhere);
  return left;
}

void Mapping::Populate(size_t size_bytes) {
  madvise(data_, std::min(size_bytes, size_), MADV_POPULATE_WRITE);
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
