#ifndef PREFORK_SERVER_SCHEDULER_TASK_TABLE_H_
#define PREFORK_SERVER_SCHEDULER_TASK_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "server/scheduler/types.h"

namespace prefork::scheduler {

// How far a running task that has to end is on its way.
enum class StopPhase : uint8_t {
  kNone,
  kClearing,  // its lane is being cleared of everything else, so that nothing else is hit
  kAsked,     // asked politely; killed when its grace is over
  kKilling,   // its worker is being killed
};

// What every task costs. Times, which few tasks have, are in TaskDetails; options, which many tasks
// share, in a TaskPolicy.
struct Task {
  uint64_t order = 0;  // of its last arrival in a queue; what came back keeps its own
  TaskSlot previous = kNone, next = kNone;  // in its queue or in its lane
  uint32_t flow = kNone;                    // pool, client and priority; kNone once terminal
  uint32_t policy = kNone;                  // kNone once terminal
  uint32_t worker = kNone;  // index of the worker whose lane it is in, or that waits for it alone
  uint32_t details = kNone;
  uint32_t attempt = 1;
  uint16_t crashes = 0;  // workers it took along
  TaskState state = TaskState::kWaiting;
  EndCause end = EndCause::kNone;  // decided already, to be settled when it has left its lane
  StopPhase stop = StopPhase::kNone;
  bool in_use : 1 = false;
  bool returned : 1 = false;  // in its flow's set of those that came back, not in the list
  bool revoking : 1 = false;  // a kRevoke is not answered yet
  bool force : 1 = false;     // no grace
  bool starting : 1 =
      false;  // dedicated, queued and out of the queue: its worker starts or is ready
  bool has_successors : 1 = false;  // somebody named it in `after`
};

// Times of the tasks that have any; 0 means none.
struct TaskDetails {
  int64_t wake_ns = 0;            // waiting: not before this
  int64_t queue_deadline_ns = 0;  // end it if it has not run by then
  int64_t stop_ns = 0;            // running: the timeout, or the end of the grace
  uint32_t timer = kNone;
};

// Tasks by slot. Grows and shrinks by chunks, so that a million tasks never move and their memory
// returns. References stay until Remove.
class TaskTable {
 public:
  // `slot` must be free.
  Task& Add(TaskSlot slot);
  void Remove(TaskSlot slot);

  Task& operator[](TaskSlot slot) { return chunks_[slot / kChunk]->tasks[slot % kChunk]; }
  const Task& operator[](TaskSlot slot) const {
    return chunks_[slot / kChunk]->tasks[slot % kChunk];
  }
  // nullptr if `slot` is not in use.
  Task* Find(TaskSlot slot);
  const Task* Find(TaskSlot slot) const;

  size_t size() const { return size_; }
  // One more than the largest slot that may be in use.
  TaskSlot end() const { return static_cast<TaskSlot>(chunks_.size() * kChunk); }

 private:
  static constexpr size_t kChunk = 1024;
  struct Chunk {
    Task tasks[kChunk];
    size_t used = 0;
  };

  std::vector<std::unique_ptr<Chunk>> chunks_;
  size_t empty_ = kNoChunk;  // one empty chunk is kept, lest one task at a time allocates each time
  size_t size_ = 0;
  static constexpr size_t kNoChunk = ~size_t{0};
};

// A list of tasks through Task::previous and Task::next. A task is in one at most.
class TaskList {
 public:
  void PushBack(TaskTable& tasks, TaskSlot slot);
  void Remove(TaskTable& tasks, TaskSlot slot);

  bool empty() const { return head_ == kNone; }
  TaskSlot front() const { return head_; }
  TaskSlot back() const { return tail_; }

 private:
  TaskSlot head_ = kNone, tail_ = kNone;
};

}  // namespace prefork::scheduler

#endif  // PREFORK_SERVER_SCHEDULER_TASK_TABLE_H_
