#ifndef PREFORK_SERVER_WORKER_WORKER_MAIN_H_
#define PREFORK_SERVER_WORKER_WORKER_MAIN_H_

#include <string>
#include <vector>

#include "common/os/fd.h"
#include "common/zygote/protocol.h"
#include "server/worker/runtime.h"
#include "server/worker/step_observer.h"

namespace prefork::worker {

struct WorkerArguments {
  zygote::WorkerName name;
  bool dedicated;           // runs one task and ends with its exit code
  std::string pool;         // for the process's title; may be empty
  std::vector<os::Fd> fds;  // as zygote::ForkDescriptor says
  Runtime* runtime;         // not owned
  StepObserver* observer;   // not owned; may be null
};

// Turns this process, fresh from fork, into a worker and never returns. The caller has closed what
// belongs to the zygote. A worker that can't be set up says why on its stderr and exits with 1.
[[noreturn]] void WorkerMain(WorkerArguments arguments);

}  // namespace prefork::worker

#endif  // PREFORK_SERVER_WORKER_WORKER_MAIN_H_
