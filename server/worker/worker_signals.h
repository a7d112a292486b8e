#ifndef PREFORK_SERVER_WORKER_WORKER_SIGNALS_H_
#define PREFORK_SERVER_WORKER_WORKER_SIGNALS_H_

namespace prefork::worker {

// What the worker is doing, as far as a signal's meaning depends on it.
enum class Activity : int {
  kTask = 0,      // in the task's code, or on the way to it
  kWatching = 1,  // in a task, but asleep in our own code, which sees the daemon go
  kIdle = 2,
};
void SetActivity(Activity activity);

// Installs the two handlers of a worker; the design note is in worker_signals.cc. `control_fd` must
// stay open.
void InstallWorkerSignals(int control_fd);

}  // namespace prefork::worker

#endif  // PREFORK_SERVER_WORKER_WORKER_SIGNALS_H_
