#ifndef PREFORK_SERVER_ENGINE_TASK_TABLE_H_
#define PREFORK_SERVER_ENGINE_TASK_TABLE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/time/time.h"
#include "server/engine/ring.h"
#include "server/engine/task_record.h"

namespace prefork::engine {

// The first task ID of a daemon started at `start`: whole minutes since 2026 times 10^9, plus 1. So
// the IDs of different runs never meet (unless one run makes 10^9 tasks a minute) and all stay
// below 2^53, where JSON numbers end.
TaskId FirstTaskId(absl::Time start);

// All known tasks, by slot and by ID. IDs are consecutive, slots are dense and reused; both look-ups
// are array accesses. The design note is in task_table.cc.
class TaskTable {
 public:
  explicit TaskTable(TaskId first_id) : first_id_(first_id), next_id_(first_id) {}
  TaskTable(const TaskTable&) = delete;
  TaskTable& operator=(const TaskTable&) = delete;

  // Takes the next ID and a free slot for it; the record has only its ID.
  TaskSlot Add();
  // Takes back what Add() just did, ID included. `slot` must be of the latest Add.
  void Withdraw(TaskSlot slot);
  // The slot may be reused; its record is emptied.
  void Remove(TaskSlot slot);

  TaskRecord& at(TaskSlot slot) { return blocks_[slot / kBlock]->records[slot % kBlock]; }
  const TaskRecord& at(TaskSlot slot) const {
    return blocks_[slot / kBlock]->records[slot % kBlock];
  }
  // Begins to load the record, which is about to be looked at: those of queued and of old finished
  // tasks have long left the caches.
  void Prefetch(TaskSlot slot) const {
    const auto* const record = reinterpret_cast<const char*>(&at(slot));
    for (size_t i = 0; i < sizeof(TaskRecord); i += kCacheLine) __builtin_prefetch(record + i, 1);
  }
  // kNone when there is no such task (any more).
  TaskSlot Find(TaskId id) const;

  // Visits tasks in the order of their IDs, from the first one after `cursor` on (or, backwards,
  // the last one before it; cursor 0: from the end), until `visit` returns false.
  void Walk(TaskId cursor, bool backwards,
            const std::function<bool(TaskSlot, const TaskRecord&)>& visit) const;

  TaskId first_id() const { return first_id_; }
  TaskId next_id() const { return next_id_; }
  size_t size() const { return size_; }

 private:
  static constexpr size_t kBlock = 4096;  // records in a block
  static constexpr size_t kPage = 1024;   // IDs in a page
  static constexpr size_t kCacheLine = 64;
  struct Block {
    std::array<TaskRecord, kBlock> records;
  };
  struct Page {
    std::array<TaskSlot, kPage> slots;
    size_t used = 0;
  };
  Page* FindPage(uint64_t number) const;
  void DropIfUnused(uint64_t number);

  const TaskId first_id_;
  TaskId next_id_;
  size_t size_ = 0;
  std::vector<std::unique_ptr<Block>> blocks_;
  Ring<TaskSlot> free_;
  absl::btree_map<uint64_t, std::unique_ptr<Page>> pages_;
  mutable uint64_t last_number_ = UINT64_MAX;  // of last_page_
  mutable Page* last_page_ = nullptr;
};

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_TASK_TABLE_H_
