#ifndef PREFORK_SERVER_WORKER_RUNTIME_H_
#define PREFORK_SERVER_WORKER_RUNTIME_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/shm/lane_layout.h"

namespace prefork::worker {

// A task as its runtime sees it. The views point into shared memory and are valid until Run
// returns.
struct TaskView {
  uint64_t id = 0;
  uint32_t attempt = 0;
  uint32_t flags = 0;  // kTask... of lane_layout.h
  std::string_view function;
  std::string_view content_type;
  std::string_view payload;
  uint64_t payload_segment = 0;  // the segment that holds it; 0: none
};

// How a task ended. Reused from task to task so that its strings keep their memory.
struct TaskEnd {
  shm::TaskOutcome outcome = shm::TaskOutcome::kSucceeded;
  int wait_status = 0;  // as wait(2) gives it; command runtime only
  std::string error;
  std::string content_type;
  std::string value;
  bool value_allocated = false;  // the value is in what TaskContext::AllocateValue returned
  bool wrote_output = false;     // the runtime has seen it write to stdout or stderr
  int64_t cpu_ns = -1;           // set by a runtime that knows better than getrusage of the worker
  uint64_t peak_rss_bytes = 0;   // likewise

  void Clear();
};

// What a running task may ask of its worker. Only Cancelled() may be called from another thread.
class TaskContext {
 public:
  virtual ~TaskContext() = default;
  // Has the daemon asked this task to stop?
  virtual bool Cancelled() const = 0;
  virtual void Progress(double done, double total, std::string_view text) = 0;
  // Fails when there is no room for a large value.
  virtual absl::Status Emit(std::string_view value, std::string_view content_type) = 0;
  // Room for the task's value, once a task. Fails as Emit does.
  virtual absl::StatusOr<std::span<char>> AllocateValue(size_t size_bytes) = 0;
  // For a payload in a segment that something will read when the task has ended: leaves a private
  // copy at its address, for the caller to munmap. The range may be longer than the payload.
  virtual absl::StatusOr<std::span<char>> KeepPayload(uint64_t payload_segment) = 0;
  virtual uint32_t worker_index() const = 0;
  // Sleeps until `fd` is readable, and meanwhile serves the daemon; if the daemon goes, the process
  // ends here with all its children.
  virtual void WaitReadable(int fd) = 0;
};

struct FunctionInfo {
  std::string name;
  std::string description;
};

// What a worker knows how to run. Made and loaded once in the zygote; used by each worker in its
// own process.
class Runtime {
 public:
  virtual ~Runtime() = default;
  virtual const std::vector<FunctionInfo>& functions() const = 0;
  // Runs one task to its end. `end` comes cleared.
  virtual void Run(const TaskView& task, TaskContext& context, TaskEnd& end) = 0;
  // Around each fork of a worker: in the zygote before it, then in the zygote and in the worker. For
  // a runtime whose library has to be told.
  virtual void BeforeFork() {}
  virtual void AfterForkInZygote() {}
  virtual void AfterForkInWorker() {}
  // In a new worker whose streams and signals are set up, before it says that it is ready. A failure
  // ends it: its start has failed for that reason.
  virtual absl::Status StartWorker(uint32_t worker_index);
  // Before a worker sleeps because it has no task.
  virtual void BeforeSleep() {}
  // A descriptor that is readable when OnZygoteNews is to be called in the zygote, between two
  // forks; -1: none.
  virtual int zygote_news_fd() const { return -1; }
  virtual void OnZygoteNews() {}
  // Does a task execute programs of its own? Then its output is always fenced, and its process tree
  // always cleared.
  virtual bool runs_programs() const = 0;
};

}  // namespace prefork::worker

#endif  // PREFORK_SERVER_WORKER_RUNTIME_H_
