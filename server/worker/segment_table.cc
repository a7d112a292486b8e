#include "server/worker/segment_table.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace prefork::worker {
namespace {

// As much as all segments may take by default: finished tasks keep theirs for a while, so a client that
// waits for each task goes round in all of them.
constexpr size_t kMaxKept = 1024;
constexpr size_t kMaxKeptBytes = size_t{1} << 30;

absl::Status NotHandedOver(uint64_t id) {
  return absl::NotFoundError(absl::StrCat("segment ", id, " was not handed to this worker"));
}

}  // namespace

SegmentTable::SegmentTable() : maps_(kMaxKept, kMaxKeptBytes) {}

absl::Status SegmentTable::Add(uint64_t id, uint64_t size_bytes, os::Fd fd, Use use) {
  absl::StatusOr<shm::SegmentMap> map =
      use == Use::kValue
          ? maps_.Map(fd.get(), size_bytes, os::Mapping::Access::kReadWrite, size_bytes)
          : maps_.Map(fd.get(), size_bytes, os::Mapping::Access::kRead);
  if (!map.ok()) {
    return absl::Status(map.status().code(),
                        absl::StrCat("segment ", id, ": ", map.status().message()));
  }
  lent_.insert_or_assign(id, *std::move(map));
  return absl::OkStatus();
}

void SegmentTable::Remove(uint64_t id) {
  const auto place = lent_.find(id);
  if (place == lent_.end()) return;
  maps_.Keep(std::move(place->second));
  lent_.erase(place);
}

absl::StatusOr<std::span<char>> SegmentTable::LeaveCopy(uint64_t id) {
  const auto place = lent_.find(id);
  if (place == lent_.end()) return NotHandedOver(id);
  const absl::StatusOr<std::span<std::byte>> left = place->second.LeaveCopy();
  if (!left.ok()) return left.status();
  return std::span<char>(reinterpret_cast<char*>(left->data()), left->size());
}

absl::StatusOr<std::span<char>> SegmentTable::Find(uint64_t id, uint64_t offset,
                                                   uint64_t size_bytes) {
  const auto place = lent_.find(id);
  if (place == lent_.end()) return NotHandedOver(id);
  const std::span<std::byte> bytes = place->second.bytes();
  if (offset > bytes.size() || size_bytes > bytes.size() - offset) {
    return absl::OutOfRangeError(absl::StrCat("segment ", id, " holds ", bytes.size(),
                                              " bytes, not ", size_bytes, " from ", offset, " on"));
  }
  return std::span<char>(reinterpret_cast<char*>(bytes.data()) + offset, size_bytes);
}

}  // namespace prefork::worker
