#ifndef PREFORK_SERVER_SCHEDULER_INTERN_TABLE_H_
#define PREFORK_SERVER_SCHEDULER_INTERN_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "server/scheduler/slab.h"

namespace prefork::scheduler {

// Keeps one counted `Entry` for each distinct `Key` (its member `key`), so that a
// million tasks with the same options cost four bytes each. References die with the next Acquire.
template <typename Key, typename Entry>
class InternTable {
 public:
  // Finds or makes the entry of `key` and counts one more user of it.
  uint32_t Acquire(const Key& key) {
    // Neighbours in a stream of submits are mostly alike.
    if (last_ != kNothing && slots_[last_].users > 0 && slots_[last_].entry.key == key) {
      ++slots_[last_].users;
      return last_;
    }
    auto [it, added] = index_.try_emplace(key, 0);
    if (added) {
      Slot slot;
      slot.entry.key = key;
      it->second = slots_.Add(std::move(slot));
    }
    last_ = it->second;
    ++slots_[last_].users;
    return last_;
  }

  // One user less; the last one takes the entry along.
  void Release(uint32_t index) {
    if (--slots_[index].users == 0) {
      index_.erase(slots_[index].entry.key);
      slots_.Remove(index);
      last_ = kNothing;
    }
  }

  Entry& operator[](uint32_t index) { return slots_[index].entry; }
  const Entry& operator[](uint32_t index) const { return slots_[index].entry; }
  size_t size() const { return index_.size(); }
  // Calls `visit(index, entry)` for each, in no order. `visit` neither acquires nor releases.
  template <typename Visit>
  void ForEach(Visit visit) {
    for (const auto& [key, index] : index_) {
      visit(index, slots_[index].entry);
    }
  }

 private:
  struct Slot {
    Entry entry;
    uint32_t users = 0;
  };
  static constexpr uint32_t kNothing = 0xffffffff;

  absl::flat_hash_map<Key, uint32_t> index_;
  Slab<Slot> slots_;
  uint32_t last_ = kNothing;
};

}  // namespace prefork::scheduler

#endif  // PREFORK_SERVER_SCHEDULER_INTERN_TABLE_H_
