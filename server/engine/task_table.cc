// Two tables:
//
//   ID - first_id -> page (1024 IDs) -> slot        pages exist while one of their IDs is known
//   slot -> block (4096 records) -> record          blocks stay; free slots are reused, first first
//
// Tasks are forgotten in about the order in which they came. So slots go out in that order again, and
// tasks that come one after the other lie side by side, where the processor fetches ahead. Given out
// last first they are shuffled after a while, and each look at a record waits for memory.
//
// The scheduler shares the slots as its own dense index. A page costs 4 bytes an ID, so a single
// old task that outlives its neighbours pins 4 KiB and not the neighbours' records. Pages are in a
// B-tree, because their numbers grow for ever while only a window of them is alive; the page looked
// at last is remembered, and nearly every look-up hits it.
#include "server/engine/task_table.h"

#include <algorithm>

#include "common/os/check.h"

namespace prefork::engine {

TaskId FirstTaskId(absl::Time start) {
  const absl::Time epoch = absl::FromCivil(absl::CivilSecond(2026, 1, 1), absl::UTCTimeZone());
  const int64_t minutes = absl::ToInt64Minutes(start - epoch);
  // 2^53 / 10^9 minutes are 17 years; a clock beyond that starts over at the last minute.
  constexpr int64_t kMaxMinutes = (int64_t{1} << 53) / 1'000'000'000 - 1;
  return static_cast<TaskId>(std::clamp<int64_t>(minutes, 1, kMaxMinutes)) * 1'000'000'000 + 1;
}

TaskTable::Page* TaskTable::FindPage(uint64_t number) const {
  if (number == last_number_) return last_page_;
  const auto it = pages_.find(number);
  if (it == pages_.end()) return nullptr;
  last_number_ = number;
  last_page_ = it->second.get();
  return last_page_;
}

void TaskTable::DropIfUnused(uint64_t number) {
  const Page* const page = FindPage(number);
  if (page == nullptr || page->used > 0) return;
  last_number_ = UINT64_MAX;
  pages_.erase(number);
}

TaskSlot TaskTable::Add() {
  if (free_.empty()) {
    const auto first = static_cast<TaskSlot>(blocks_.size() * kBlock);
    blocks_.push_back(std::make_unique<Block>());
    for (size_t i = 0; i < kBlock; ++i) free_.push_back(first + static_cast<TaskSlot>(i));
  }
  const TaskSlot slot = free_.front();
  free_.pop_front();
  const TaskId id = next_id_++;
  const uint64_t number = (id - first_id_) / kPage;
  Page* page = FindPage(number);
  if (page == nullptr) {
    if (number > 0) DropIfUnused(number - 1);
    auto fresh = std::make_unique<Page>();
    fresh->slots.fill(kNone);
    page = pages_.emplace(number, std::move(fresh)).first->second.get();
    last_number_ = number;
    last_page_ = page;
  }
  page->slots[(id - first_id_) % kPage] = slot;
  ++page->used;
  at(slot).id = id;
  ++size_;
  return slot;
}

void TaskTable::Withdraw(TaskSlot slot) {
  PREFORK_CHECK(at(slot).id + 1 == next_id_);
  Remove(slot);
  --next_id_;
}

void TaskTable::Remove(TaskSlot slot) {
  TaskRecord& record = at(slot);
  PREFORK_CHECK(record.id != 0);
  const uint64_t number = (record.id - first_id_) / kPage;
  Page* const page = FindPage(number);
  page->slots[(record.id - first_id_) % kPage] = kNone;
  --page->used;
  // The page that is being filled stays, or a lone task at a time would make a new one each time.
  if (number != (next_id_ - 1 - first_id_) / kPage) DropIfUnused(number);
  record = TaskRecord();
  free_.push_back(slot);
  --size_;
}

TaskSlot TaskTable::Find(TaskId id) const {
  if (id < first_id_ || id >= next_id_) return kNone;
  const Page* const page = FindPage((id - first_id_) / kPage);
  return page == nullptr ? kNone : page->slots[(id - first_id_) % kPage];
}

void TaskTable::Walk(TaskId cursor, bool backwards,
                     const std::function<bool(TaskSlot, const TaskRecord&)>& visit) const {
  if (backwards) {
    const TaskId end = cursor == 0 ? next_id_ : std::min(cursor, next_id_);
    if (end <= first_id_) return;
    uint64_t index = end - first_id_;  // one past the next to look at
    auto it = pages_.upper_bound((index - 1) / kPage);
    while (it != pages_.begin()) {
      --it;
      index = std::min(index, (it->first + 1) * kPage);
      for (; index > it->first * kPage; --index) {
        const TaskSlot slot = it->second->slots[(index - 1) % kPage];
        if (slot != kNone && !visit(slot, at(slot))) return;
      }
    }
    return;
  }
  uint64_t index = cursor < first_id_ ? 0 : cursor - first_id_ + 1;
  for (auto it = pages_.lower_bound(index / kPage); it != pages_.end(); ++it) {
    index = std::max(index, it->first * kPage);
    for (; index < (it->first + 1) * kPage; ++index) {
      const TaskSlot slot = it->second->slots[index % kPage];
      if (slot != kNone && !visit(slot, at(slot))) return;
    }
  }
}

}  // namespace prefork::engine
