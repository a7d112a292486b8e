#include "server/worker/segment_table.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/os/memfd.h"

namespace prefork::worker {
namespace {

absl::Status NotHandedOver(uint64_t id) {
  return absl::NotFoundError(absl::StrCat("segment ", id, " was not handed to this worker"));
}

}  // namespace

absl::Status SegmentTable::Add(uint64_t id, uint64_t size_bytes, os::Fd fd) {
  const absl::StatusOr<uint64_t> file_bytes = os::CheckSealedMemfd(fd.get());
  if (!file_bytes.ok()) return file_bytes.status();
  if (size_bytes == 0 || size_bytes > *file_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("segment ", id, " of ", size_bytes, " bytes came as a file of ", *file_bytes));
  }
  absl::StatusOr<os::Mapping> mapping =
      os::Mapping::Create(fd.get(), size_bytes, os::Mapping::Access::kReadWrite);
  if (!mapping.ok()) return mapping.status();
  mappings_.insert_or_assign(id, *std::move(mapping));
  return absl::OkStatus();
}

void SegmentTable::Remove(uint64_t id) { mappings_.erase(id); }

absl::StatusOr<std::span<char>> SegmentTable::LeaveCopy(uint64_t id) {
  const auto place = mappings_.find(id);
  if (place == mappings_.end()) return NotHandedOver(id);
  const absl::StatusOr<std::span<std::byte>> left = place->second.LeaveCopy();
  if (!left.ok()) return left.status();
  return std::span<char>(reinterpret_cast<char*>(left->data()), left->size());
}

absl::StatusOr<std::span<char>> SegmentTable::Find(uint64_t id, uint64_t size_bytes) {
  const auto place = mappings_.find(id);
  if (place == mappings_.end()) return NotHandedOver(id);
  const std::span<std::byte> bytes = place->second.bytes();
  if (size_bytes > bytes.size()) {
    return absl::OutOfRangeError(
        absl::StrCat("segment ", id, " holds ", bytes.size(), " bytes, not ", size_bytes));
  }
  return std::span<char>(reinterpret_cast<char*>(bytes.data()), size_bytes);
}

}  // namespace prefork::worker
