#ifndef PREFORK_SERVER_WORKER_ZYGOTE_MAIN_H_
#define PREFORK_SERVER_WORKER_ZYGOTE_MAIN_H_

#include "server/worker/step_observer.h"

namespace prefork::worker {

// The program prefork-worker: reads its arguments, takes the socket named by $PREFORK_ZYGOTE_FD,
// loads the runtime and runs a Zygote. Returns the exit code: 0 ended as told, 1 could not start
// (the daemon was told FAILED), 2 not started by a daemon.
int ZygoteMain(int argc, char** argv, StepObserver* observer);

}  // namespace prefork::worker

#endif  // PREFORK_SERVER_WORKER_ZYGOTE_MAIN_H_
