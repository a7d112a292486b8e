#include "server/engine/output_buffer.h"

#include <algorithm>

namespace prefork::engine {

OutputBuffer::OutputBuffer(size_t max_bytes)
    : head_limit_(max_bytes / 2), tail_limit_(max_bytes - max_bytes / 2) {}

void OutputBuffer::Append(std::string_view bytes) {
  total_bytes_ += bytes.size();
  const size_t to_head = std::min(bytes.size(), head_limit_ - head_.size());
  head_.append(bytes.substr(0, to_head));
  bytes.remove_prefix(to_head);
  if (tail_limit_ == 0) return;
  if (bytes.size() > tail_limit_) bytes.remove_prefix(bytes.size() - tail_limit_);
  const size_t to_grow = std::min(bytes.size(), tail_limit_ - tail_.size());
  tail_.append(bytes.substr(0, to_grow));
  bytes.remove_prefix(to_grow);
  while (!bytes.empty()) {
    const size_t step = std::min(bytes.size(), tail_limit_ - tail_begin_);
    bytes.copy(tail_.data() + tail_begin_, step);
    tail_begin_ = (tail_begin_ + step) % tail_limit_;
    bytes.remove_prefix(step);
  }
}

void OutputBuffer::DropKept() {
  head_limit_ = 0;
  tail_begin_ = 0;
  std::string().swap(head_);
  std::string().swap(tail_);
}

std::string OutputBuffer::CopyTail(size_t bytes) const {
  std::string copy;
  copy.reserve(bytes);
  const size_t skip = tail_.size() - bytes;
  const size_t begin = (tail_begin_ + skip) % std::max<size_t>(tail_.size(), 1);
  const size_t first = std::min(bytes, tail_.size() - begin);
  copy.append(tail_, begin, first);
  copy.append(tail_, 0, bytes - first);
  return copy;
}

std::vector<OutputBuffer::Piece> OutputBuffer::Read(uint64_t offset) const {
  std::vector<Piece> pieces;
  const uint64_t tail_offset = total_bytes_ - tail_.size();
  if (offset < head_.size()) pieces.push_back({offset, head_.substr(offset)});
  const uint64_t from = std::max(offset, tail_offset);
  if (from < total_bytes_) {
    std::string tail = CopyTail(total_bytes_ - from);
    if (!pieces.empty() && tail_offset == head_.size()) {
      pieces.back().data += tail;
    } else {
      pieces.push_back({from, std::move(tail)});
    }
  }
  return pieces;
}

std::string OutputBuffer::Tail(size_t max_bytes) const {
  const size_t from_tail = std::min(max_bytes, tail_.size());
  std::string text;
  // The head belongs to the end only while nothing between it and the tail was dropped.
  if (from_tail < max_bytes && total_bytes_ == head_.size() + tail_.size()) {
    const size_t from_head = std::min(max_bytes - from_tail, head_.size());
    text = head_.substr(head_.size() - from_head);
  }
  return text + CopyTail(from_tail);
}

size_t OutputBuffer::footprint_bytes() const {
  return sizeof(*this) + head_.capacity() + tail_.capacity();
}

}  // namespace prefork::engine
