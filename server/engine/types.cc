#include "server/engine/types.h"

#include <span>
#include <utility>

#include "common/os/check.h"

namespace prefork::engine {

Bytes::Bytes(shm::SegmentRef segment, size_t size_bytes, size_t offset, Owner owner)
    : segment_(std::make_unique<Part>(Part{std::move(segment), size_bytes, offset, owner})) {
  PREFORK_CHECK(segment_->segment != nullptr);
  const size_t capacity_bytes = segment_->segment->capacity_bytes();
  PREFORK_CHECK(offset <= capacity_bytes && size_bytes <= capacity_bytes - offset);
}

Bytes::Bytes(const Bytes& other)
    : inline_(other.inline_),
      segment_(other.segment_ ? std::make_unique<Part>(*other.segment_) : nullptr) {}

Bytes& Bytes::operator=(const Bytes& other) {
  if (this != &other) *this = Bytes(other);
  return *this;
}

std::string_view Bytes::view() const {
  if (!segment_) return inline_;
  if (given_back()) return {};
  const std::span<const std::byte> bytes = std::as_const(*segment_->segment).bytes();
  return {reinterpret_cast<const char*>(bytes.data()) + segment_->offset, segment_->size_bytes};
}

void Bytes::GiveBack() {
  if (is_lent()) segment_->segment.reset();
}

size_t Bytes::footprint_bytes() const {
  if (is_lent()) return 0;
  if (segment_) return segment_->segment->capacity_bytes();
  // Strings up to 15 bytes live inside the object.
  return inline_.capacity() > 15 ? inline_.capacity() + 1 : 0;
}

}  // namespace prefork::engine
