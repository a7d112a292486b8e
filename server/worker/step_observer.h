#ifndef PREFORK_SERVER_WORKER_STEP_OBSERVER_H_
#define PREFORK_SERVER_WORKER_STEP_OBSERVER_H_

#include <cstdint>

#include "common/shm/lane.h"
#include "common/zygote/control_socket.h"

namespace prefork::worker {

// The points between which a death makes a difference. Tests stand at them, with a StepObserver,
// and let faults strike; the installed program has no observer.
enum class WorkerStep {
  kForked,           // the process is new; nothing is mapped yet (no lane)
  kBeforeReady,      // the lane is mapped, WORKER_READY not sent
  kBeforeClaim,      // a task is published, nobody has it
  kClaimed,          // the task is ours and has not begun
  kResultWritten,    // the result is in the ring, not published
  kResultPublished,  // the engine can see it, but is not woken
  kResultAnnounced,  // the engine is woken; the task's record is not released
  kReleased,
};

enum class ZygoteStep {
  kBeforeReady,  // modules are loaded, READY not sent
  kReady,        // READY sent
  kBeforeFork,   // FORK received
  kForked,       // FORKED sent
};

// What an observer of a worker can get hold of.
struct WorkerPlace {
  shm::LaneGuest* lane = nullptr;  // null at kForked
  int control_fd = -1;
  uint64_t task_id = 0;  // 0 where none is known
};

class StepObserver {
 public:
  virtual ~StepObserver() = default;
  virtual void OnWorkerStep(WorkerStep step, const WorkerPlace& place) = 0;
  virtual void OnZygoteStep(ZygoteStep step, zygote::ControlSocket& daemon) = 0;
};

}  // namespace prefork::worker

#endif  // PREFORK_SERVER_WORKER_STEP_OBSERVER_H_
