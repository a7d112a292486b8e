#ifndef PREFORK_SERVER_SCHEDULER_SLAB_H_
#define PREFORK_SERVER_SCHEDULER_SLAB_H_

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace prefork::scheduler {

// Objects named by small indices that are used again. References die with the next Add; indices
// stay until Remove. A large slab gives its memory back when it becomes empty.
template <typename T>
class Slab {
 public:
  uint32_t Add(T value = T()) {
    if (free_.empty()) {
      items_.push_back(std::move(value));
      return static_cast<uint32_t>(items_.size() - 1);
    }
    const uint32_t index = free_.back();
    free_.pop_back();
    items_[index] = std::move(value);
    return index;
  }

  void Remove(uint32_t index) {
    items_[index] = T();
    free_.push_back(index);
    if (free_.size() == items_.size() && items_.size() > kKeep) {
      std::vector<T>().swap(items_);
      std::vector<uint32_t>().swap(free_);
    }
  }

  T& operator[](uint32_t index) { return items_[index]; }
  const T& operator[](uint32_t index) const { return items_[index]; }

  // Objects in use.
  size_t size() const { return items_.size() - free_.size(); }

 private:
  static constexpr size_t kKeep = 1024;

  std::vector<T> items_;
  std::vector<uint32_t> free_;
};

}  // namespace prefork::scheduler

#endif  // PREFORK_SERVER_SCHEDULER_SLAB_H_
