#ifndef PREFORK_COMMON_OS_MAPPING_H_
#define PREFORK_COMMON_OS_MAPPING_H_

#include <cstddef>
#include <span>
#include <utility>

#include "absl/status/statusor.h"

namespace prefork::os {

// Owns a shared mapping of a descriptor's first bytes and unmaps it. Movable, not copyable; the
// addresses stay valid when the object is moved. The descriptor may be closed while the mapping
// lives.
class Mapping {
 public:
  enum class Access { kRead, kReadWrite };

  Mapping() = default;
  Mapping(Mapping&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping();

  // Maps `size_bytes` of `fd` shared. Fails with the errno of mmap; `fd` is not taken.
  static absl::StatusOr<Mapping> Create(int fd, size_t size_bytes, Access access);

  // Leaves a private, writable copy of the bytes at their address, for the caller to munmap, and maps
  // the shared ones elsewhere: who still reads at the old address may go on. Fails with the errno
  // of mmap or mremap, and has changed nothing then.
  absl::StatusOr<std::span<std::byte>> LeaveCopy();

  // Faults the first `size_bytes` in for writing, at a fraction of what touching each page costs.
  // Without effect where the kernel can't (before 5.14).
  void Populate(size_t size_bytes);

  bool valid() const { return data_ != nullptr; }
  size_t size() const { return size_; }
  std::span<std::byte> bytes() { return {data_, size_}; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }

 private:
  Mapping(std::byte* data, size_t size) : data_(data), size_(size) {}
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace prefork::os

#endif  // PREFORK_COMMON_OS_MAPPING_H_
