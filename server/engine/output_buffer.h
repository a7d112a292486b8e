#ifndef PREFORK_SERVER_ENGINE_OUTPUT_BUFFER_H_
#define PREFORK_SERVER_ENGINE_OUTPUT_BUFFER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace prefork::engine {

// What a task wrote to one of its streams: all of it up to a bound, beyond that its beginning and
// its end. Offsets count all bytes ever written, so a reader sees exactly what was dropped.
// Bytes are bytes: characters may be cut.
class OutputBuffer {
 public:
  // Keeps at most `max_bytes`: half of them for the head, half for the tail.
  explicit OutputBuffer(size_t max_bytes);

  void Append(std::string_view bytes);
  // Forgets what is kept, as if it had been dropped from the middle; what comes later is kept.
  void DropKept();

  struct Piece {
    uint64_t offset;
    std::string data;
  };
  // What is kept from `offset` on, in one piece, or two when the middle was dropped. Empty when
  // there is nothing at or after `offset`.
  std::vector<Piece> Read(uint64_t offset) const;
  // The last bytes written, at most `max_bytes`.
  std::string Tail(size_t max_bytes) const;

  uint64_t total_bytes() const { return total_bytes_; }
  size_t footprint_bytes() const;

 private:
  std::string CopyTail(size_t bytes) const;

  size_t head_limit_;
  const size_t tail_limit_;
  std::string head_;
  // The latest bytes past the head; a circle once it holds tail_limit_ bytes, tail_begin_ being the
  // oldest.
  std::string tail_;
  size_t tail_begin_ = 0;
  uint64_t total_bytes_ = 0;
};

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_OUTPUT_BUFFER_H_
