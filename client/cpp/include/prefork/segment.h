#ifndef PREFORK_CLIENT_CPP_INCLUDE_PREFORK_SEGMENT_H_
#define PREFORK_CLIENT_CPP_INCLUDE_PREFORK_SEGMENT_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

// Memory that is shared with the daemon and its workers on the same host, so that large payloads
// and values are never copied on their way.
namespace prefork::client {

// Room for payloads, from Client::AllocateSegment. One that no task and nobody else uses any more is
// free when it is destroyed. May outlive its Client. Any thread may use it. A process that was forked
// meanwhile shares the memory; it is then free when both have let go of the Client and its segments.
class Segment {
 public:
  virtual ~Segment() = default;
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;

  // Begins at the beginning of a page and is as large as was asked for. What is in it at first is
  // arbitrary. While a task that has it as its payload is unfinished, it must not be written to: the
  // task would see either state, or both.
  std::span<std::byte> bytes() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  // False: the daemon is on another host or offers no segments. This is memory of the program alone
  // then, and each submit sends what is in it.
  virtual bool shared() const = 0;

 protected:
  explicit Segment(std::span<std::byte> bytes) : bytes_(bytes) {}

 private:
  const std::span<std::byte> bytes_;
};

// A payload that lies in a segment.
struct SegmentSlice {
  std::shared_ptr<Segment> segment{};  // null: none
  size_t offset = 0;                   // a multiple of 64
  size_t size_bytes = 0;

  std::string_view view() const {
    if (segment == nullptr) return {};
    return {reinterpret_cast<const char*>(segment->bytes().data()) + offset, size_bytes};
  }
};

// The value of a task where its worker left it, for reading. The memory is the program's until this
// is destroyed. May outlive its Client, and the daemon. Forks: as Segment.
class MappedValue {
 public:
  virtual ~MappedValue() = default;
  MappedValue(const MappedValue&) = delete;
  MappedValue& operator=(const MappedValue&) = delete;

  // Begins at the beginning of a page.
  std::span<const std::byte> bytes() const { return bytes_; }
  std::string_view view() const {
    return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
  }

 protected:
  explicit MappedValue(std::span<const std::byte> bytes) : bytes_(bytes) {}

 private:
  const std::span<const std::byte> bytes_;
};

}  // namespace prefork::client

#endif  // PREFORK_CLIENT_CPP_INCLUDE_PREFORK_SEGMENT_H_
