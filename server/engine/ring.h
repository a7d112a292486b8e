#ifndef PREFORK_SERVER_ENGINE_RING_H_
#define PREFORK_SERVER_ENGINE_RING_H_

#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

#include "common/os/check.h"

namespace prefork::engine {

// A first-in first-out queue in one block of memory that doubles when it is full and is kept for
// reuse. For the queues a million items a second go through, where std::deque would allocate every
// few items. Elements are default-constructible and movable; a popped place gives up what it
// owned.
template <typename T>
class Ring {
 public:
  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }
  size_t capacity() const { return capacity_; }

  // Counted from the front.
  T& operator[](size_t index) { return slots_[(begin_ + index) & (capacity_ - 1)]; }
  const T& operator[](size_t index) const { return slots_[(begin_ + index) & (capacity_ - 1)]; }
  T& front() { return (*this)[0]; }
  const T& front() const { return (*this)[0]; }
  T& back() { return (*this)[size_ - 1]; }

  T& push_back(T value) {
    if (size_ == capacity_) Grow();
    T& slot = slots_[(begin_ + size_) & (capacity_ - 1)];
    slot = std::move(value);
    ++size_;
    return slot;
  }
  void pop_front() {
    PREFORK_CHECK(size_ > 0);
    if constexpr (!std::is_trivially_destructible_v<T>) slots_[begin_] = T();
    begin_ = (begin_ + 1) & (capacity_ - 1);
    --size_;
  }
  // Also gives the memory back.
  void clear() { *this = Ring(); }

 private:
  void Grow() {
    const size_t capacity = capacity_ == 0 ? 16 : capacity_ * 2;
    auto slots = std::make_unique<T[]>(capacity);
    for (size_t i = 0; i < size_; ++i) slots[i] = std::move((*this)[i]);
    slots_ = std::move(slots);
    capacity_ = capacity;
    begin_ = 0;
  }

  std::unique_ptr<T[]> slots_;
  size_t capacity_ = 0;  // zero or a power of two
  size_t begin_ = 0;
  size_t size_ = 0;
};

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_RING_H_
