#include "server/scheduler/task_table.h"

#include <cstddef>
#include <memory>

#include "server/scheduler/check.h"
#include "server/scheduler/types.h"

namespace prefork::scheduler {

static_assert(sizeof(Task) <= 48, "a million of them are kept");
static_assert(sizeof(TaskDetails) <= 32);

Task& TaskTable::Add(TaskSlot slot) {
  Check(slot != kNone, "a task has a slot");
  const size_t index = slot / kChunk;
  if (index >= chunks_.size()) {
    chunks_.resize(index + 1);
  }
  if (chunks_[index] == nullptr) {
    chunks_[index] = std::make_unique<Chunk>();
  }
  if (index == empty_) {
    empty_ = kNoChunk;
  }
  Task& task = chunks_[index]->tasks[slot % kChunk];
  Check(!task.in_use, "the slot of a new task is free");
  task = Task();
  task.in_use = true;
  ++chunks_[index]->used;
  ++size_;
  return task;
}

void TaskTable::Remove(TaskSlot slot) {
  const size_t index = slot / kChunk;
  chunks_[index]->tasks[slot % kChunk].in_use = false;
  --size_;
  if (--chunks_[index]->used > 0) {
    return;
  }
  if (empty_ != kNoChunk) {
    chunks_[empty_].reset();
  }
  empty_ = index;
  while (!chunks_.empty() && chunks_.back() == nullptr) {
    chunks_.pop_back();
  }
}

Task* TaskTable::Find(TaskSlot slot) {
  return const_cast<Task*>(static_cast<const TaskTable*>(this)->Find(slot));
}

const Task* TaskTable::Find(TaskSlot slot) const {
  const size_t index = slot / kChunk;
  if (index >= chunks_.size() || chunks_[index] == nullptr) {
    return nullptr;
  }
  const Task& task = chunks_[index]->tasks[slot % kChunk];
  return task.in_use ? &task : nullptr;
}

void TaskList::PushBack(TaskTable& tasks, TaskSlot slot) {
  tasks[slot].previous = tail_;
  tasks[slot].next = kNone;
  if (tail_ == kNone) {
    head_ = slot;
  } else {
    tasks[tail_].next = slot;
  }
  tail_ = slot;
}

void TaskList::Remove(TaskTable& tasks, TaskSlot slot) {
  const Task& task = tasks[slot];
  if (task.previous == kNone) {
    head_ = task.next;
  } else {
    tasks[task.previous].next = task.next;
  }
  if (task.next == kNone) {
    tail_ = task.previous;
  } else {
    tasks[task.next].previous = task.previous;
  }
}

}  // namespace prefork::scheduler
