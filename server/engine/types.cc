#include "server/engine/types.h"

#include "common/os/check.h"

namespace prefork::engine {

Bytes::Bytes(shm::SegmentRef segment, size_t size_bytes)
    : segment_(std::make_unique<Part>(Part{std::move(segment), size_bytes})) {
  PREFORK_CHECK(segment_->segment != nullptr);
  PREFORK_CHECK(size_bytes <= segment_->segment->capacity_bytes());
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
  return {reinterpret_cast<const char*>(segment_->segment->bytes().data()), segment_->size_bytes};
}

size_t Bytes::footprint_bytes() const {
  if (segment_) return segment_->segment->capacity_bytes();
  // Strings up to 15 bytes live inside the object.
  return inline_.capacity() > 15 ? inline_.capacity() + 1 : 0;
}

}  // namespace prefork::engine
