#ifndef PREFORK_SERVER_WORKER_OUTPUT_CAPTURE_H_
#define PREFORK_SERVER_WORKER_OUTPUT_CAPTURE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/os/fd.h"
#include "common/shm/lane_layout.h"
#include "server/worker/daemon_link.h"

namespace prefork::worker {

// Makes the daemon credit stdout and stderr of this worker to the task that wrote them, by
// announcing the running task and emptying the pipes in between; the design note, with its one
// limit, is in output_capture.cc. Calls: BeginTask, EndTask, BeginTask, ..., and BeforeSleep when
// no task is there.
class OutputCapture {
 public:
  // Nothing is owned. File descriptors 1 and 2 are the pipes. Fails when they can't be duplicated.
  static absl::StatusOr<OutputCapture> Create(shm::LaneStatus* status, DaemonLink* link);

  // `exact`: this task's output is credited exactly, at any price.
  void BeginTask(uint64_t task_id, std::string_view function, bool exact);
  // Returns when the daemon has read what the task wrote, so that its result may follow. `wrote`: it
  // is known to have written; false: nothing is known.
  void EndTask(int64_t now_ns, bool wrote);
  void BeforeSleep();

 private:
  // What is known of a function in this worker.
  struct Habit {
    uint32_t silent_runs = 0;  // checked ones
    bool writes = false;
    bool unverified = false;  // in unverified_
  };

  OutputCapture(shm::LaneStatus* status, DaemonLink* link, os::Fd stdout_pipe, os::Fd stderr_pipe);
  Habit& HabitOf(std::string_view function);
  // Flushes, waits until the pipes are empty, and returns whether anything was written since the
  // last time.
  bool FlushAndDrain();
  void VerifySilence();
  bool WasRead() const;
  bool PipesEmpty() const;
  // Makes 1 and 2 the pipes again.
  void RestoreStreams();
  void WaitForReadsInProgress();

  shm::LaneStatus* status_;
  DaemonLink* link_;
  os::Fd pipes_[2];  // of our own: a task may do to 1 and 2 what it likes
  std::map<std::string, Habit, std::less<>> habits_;
  const std::string* current_name_ = nullptr;
  Habit* current_ = nullptr;
  bool fenced_ = false;
  std::vector<Habit*> unverified_;  // of functions trusted since the pipes were looked at
  uint64_t reads_seen_ = 0;         // output_read_begin when the pipes were looked at
  int64_t verified_ns_ = 0;         // when VerifySilence was last called
};

}  // namespace prefork::worker

#endif  // PREFORK_SERVER_WORKER_OUTPUT_CAPTURE_H_
