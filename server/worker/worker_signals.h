#ifndef PREFORK_SERVER_WORKER_WORKER_SIGNALS_H_
#define PREFORK_SERVER_WORKER_WORKER_SIGNALS_H_

namespace prefork::worker {

// What the worker is doing, as far as a signal's meaning depends on it.
enum class Activity : int {
  kBetween = 0,   // looking for a task; maybe about to claim one
  kTask = 1,      // has claimed a task, and runs it or reports its end
  kWatching = 2,  // in a task, but asleep in our own code, which sees the daemon go
  kIdle = 3,      // has no task and does not look for one
};
// Says what comes next. A SIGTERM that came while it was not clear what it meant takes effect here:
// then this does not return.
void SetActivity(Activity activity);

// Installs the two handlers of a worker; the design note is in worker_signals.cc. `control_fd` must
// stay open.
void InstallWorkerSignals(int control_fd);

}  // namespace prefork::worker

#endif  // PREFORK_SERVER_WORKER_WORKER_SIGNALS_H_
