// The signals of a worker.
//
// SIGTERM ends an idle worker politely, with exit code 0: it has nothing that could be lost. Between
// tasks, when a claim may just have succeeded, it is only noted, until that is known. While a task
// runs SIGTERM means what it means by default, death by signal 15: that is how a timeout
// stops a native function that does not look. Programs that a task executes, and processes that it
// forks, see the default too.
//
// Death of the parent (PR_SET_PDEATHSIG). A worker outlives its zygote: the daemon adopts it. But
// when the daemon is gone as well, nobody is left to end a worker that is busy. The kernel signals
// a worker whenever its parent dies, and again when the next parent dies; then the control socket
// tells whether the daemon lives (its end of the socket is closed before its children hear of its
// death). If not: a worker in our own code finds the end of the socket itself; a worker in a task's
// code kills its process group, itself included, there and then.
#include "server/worker/worker_signals.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace prefork::worker {
namespace {

volatile sig_atomic_t activity_now = 0;
volatile sig_atomic_t termination_noted = 0;
pid_t worker_pid = 0;
int control_socket = -1;

// One that programs do not use.
int ParentDeathSignal() { return SIGRTMAX - 3; }

void DieOf(int signal) {
  ::signal(signal, SIG_DFL);
  sigset_t only;
  sigemptyset(&only);
  sigaddset(&only, signal);
  sigprocmask(SIG_UNBLOCK, &only, nullptr);
  raise(signal);
}

void OnTerminate(int signal) {
  if (getpid() != worker_pid) return DieOf(signal);  // a process that a task forked
  switch (static_cast<Activity>(activity_now)) {
    case Activity::kIdle:
      _exit(0);
    case Activity::kBetween:
      termination_noted = 1;
      return;
    case Activity::kTask:
    case Activity::kWatching:
      return DieOf(signal);
  }
}

void OnParentDeath(int) {
  const int saved_errno = errno;
  char byte;
  const bool orphaned =
      getpid() == worker_pid && recv(control_socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
  if (orphaned && activity_now == static_cast<int>(Activity::kTask)) kill(0, SIGKILL);
  errno = saved_errno;
}

void Install(int signal, void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigaction(signal, &action, nullptr);
}

}  // namespace

void SetActivity(Activity activity) {
  activity_now = static_cast<int>(activity);
  if (termination_noted != 0 && activity != Activity::kBetween) OnTerminate(SIGTERM);
}

void InstallWorkerSignals(int control_fd) {
  worker_pid = getpid();
  control_socket = control_fd;
  SetActivity(Activity::kBetween);
  Install(SIGTERM, OnTerminate);
  Install(ParentDeathSignal(), OnParentDeath);
  prctl(PR_SET_PDEATHSIG, ParentDeathSignal());
}

}  // namespace prefork::worker
