#ifndef PREFORK_SERVER_WORKER_WORKER_LOOP_H_
#define PREFORK_SERVER_WORKER_WORKER_LOOP_H_

#include <cstdint>

#include "common/shm/lane.h"
#include "common/shm/lane_sleeper.h"
#include "server/worker/daemon_link.h"
#include "server/worker/lane_task_context.h"
#include "server/worker/output_capture.h"
#include "server/worker/result_publisher.h"
#include "server/worker/runtime.h"
#include "server/worker/step_observer.h"
#include "server/worker/task_meter.h"

namespace prefork::worker {

// The life of a worker: claims tasks from its lane, runs them, publishes how they ended, sleeps;
// the design note is in worker_loop.cc.
class WorkerLoop {
 public:
  struct Options {
    Runtime* runtime;        // not owned
    bool dedicated;          // end after one task, with its exit code
    StepObserver* observer;  // not owned; may be null
  };
  // Nothing is owned.
  WorkerLoop(shm::LaneGuest* lane, shm::LaneSleeper* sleeper, DaemonLink* link,
             OutputCapture output, const Options& options);

  // Never returns: the worker ends when the daemon closes the control socket, after its one task
  // when that is dedicated, or by a signal.
  [[noreturn]] void Run();

 private:
  void RunRecord(const shm::QueueConsumer::Record& record);
  void RunTask(const shm::TaskRecord& record, const TaskView& task);
  void Finish(const shm::TaskRecord& record, int64_t started_ns, int64_t finished_ns);
  void Idle();
  void Reach(WorkerStep step, uint64_t task_id);

  shm::LaneGuest* lane_;
  shm::LaneSleeper* sleeper_;
  DaemonLink* link_;
  OutputCapture output_;
  Options options_;
  ResultPublisher publisher_;
  LaneTaskContext context_;
  TaskMeter meter_;
  TaskEnd end_;
  uint64_t progress_ = 0;
};

}  // namespace prefork::worker

#endif  // PREFORK_SERVER_WORKER_WORKER_LOOP_H_
