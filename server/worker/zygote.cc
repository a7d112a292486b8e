// The zygote's life.
//
// Startup: posix_spawned by the daemon with one socket. Loads the runtime and its modules, then
//   says READY with the functions offered, or FAILED and why.
// Loop: sleeps in poll on the socket and a signalfd.
//   FORK      -> fork(). The child becomes a worker (worker_main.cc) with the descriptors that came
//                along; the zygote closes its own copies and answers FORKED with a pidfd, or
//                FORK_FAILED.
//   SIGCHLD   -> reap. A worker's end is reported: EXITED with wait status and rusage.
// Exit: on SHUTDOWN, SIGTERM or the end of the socket. All workers get SIGTERM with their trees, a
//   short grace, then SIGKILL; the zygote ends when no child is left.
//
// Orphans. The zygote is a subreaper: when a worker dies, what its task had started becomes the
// zygote's child, before the zygote can reap the worker. It kills and reaps those trees first and
// reports the worker's exit second, so EXITED means that nothing of the worker is left. Children
// that a module started while it was loaded are the module's business and spared until the end.
//
// Death of the zygote. The workers live on; the daemon, their next subreaper, adopts them.
//
// Trust. The zygote trusts the daemon. It runs no task's code, only what modules do while they are
// loaded.
#include "server/worker/zygote.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "common/os/clock.h"
#include "common/os/errno_status.h"
#include "common/os/pidfd.h"
#include "common/os/process_tree.h"
#include "common/os/signal.h"
#include "server/worker/leftovers.h"
#include "server/worker/process_title.h"
#include "server/worker/worker_main.h"

namespace prefork::worker {
namespace {

// Between SIGTERM and SIGKILL when everything ends. Tasks had the daemon's own grace before; this
// is for handlers that remove a temporary file.
constexpr int64_t kEndGraceNs = 300'000'000;

int64_t Nanoseconds(const timeval& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + int64_t{time.tv_usec} * 1'000;
}

std::string FunctionLines(const std::vector<FunctionInfo>& functions) {
  std::string lines;
  for (const FunctionInfo& function : functions) {
    absl::StrAppend(&lines, function.name, "\t", function.description, "\n");
  }
  return lines;
}

}  // namespace

absl::StatusOr<Zygote> Zygote::Create(zygote::ControlSocket daemon, Runtime* runtime,
                                      Options options) {
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) {
    return os::ErrnoStatus(errno, "prctl(PR_SET_CHILD_SUBREAPER)");
  }
  os::IgnoreSignals({SIGPIPE});
  if (absl::Status status = os::BlockSignals({SIGCHLD, SIGTERM}); !status.ok()) return status;
  absl::StatusOr<os::Fd> signals = os::CreateSignalfd({SIGCHLD, SIGTERM});
  if (!signals.ok()) return signals.status();
  return Zygote(std::move(daemon), *std::move(signals), runtime, std::move(options));
}

Zygote::Zygote(zygote::ControlSocket daemon, os::Fd signals, Runtime* runtime, Options options)
    : daemon_(std::move(daemon)),
      signals_(std::move(signals)),
      runtime_(runtime),
      options_(std::move(options)) {}

void Zygote::Reach(ZygoteStep step) {
  if (options_.observer != nullptr) options_.observer->OnZygoteStep(step, daemon_);
}

int Zygote::Run() {
  SetProcessTitle(absl::StrCat("prefork: zygote ", options_.pool), "prefork-zygote");
  for (const pid_t pid : os::ListChildren(getpid())) own_children_.insert(pid);
  Reach(ZygoteStep::kBeforeReady);
  const zygote::ReadyBody ready = {zygote::kProtocolVersion, static_cast<uint32_t>(getpid())};
  Tell(zygote::Ready{ready, FunctionLines(runtime_->functions())});
  Reach(ZygoteStep::kReady);
  for (bool serving = true; serving;) {
    pollfd polled[3] = {{daemon_.fd(), POLLIN, 0},
                        {signals_.get(), POLLIN, 0},
                        {runtime_->zygote_news_fd(), POLLIN, 0}};  // a negative one is passed over
    if (poll(polled, 3, -1) < 0) continue;                         // interrupted by a stop signal
    while (const std::optional<int> signal = os::ReadSignalfd(signals_.get())) {
      if (*signal == SIGTERM) serving = false;
    }
    if (polled[1].revents != 0) ReapChildren();
    if (polled[0].revents != 0) serving = ServeDaemon() && serving;
    if (polled[2].revents != 0) runtime_->OnZygoteNews();
  }
  EndWorkers();
  return 0;
}

void Zygote::Tell(const zygote::Message& message, absl::Span<const int> fds) {
  for (;;) {
    const absl::Status status = daemon_.Send(message, fds);
    if (!absl::IsUnavailable(status)) return;
    pollfd polled = {daemon_.fd(), POLLOUT, 0};
    poll(&polled, 1, -1);
  }
}

bool Zygote::ServeDaemon() {
  for (;;) {
    absl::StatusOr<std::optional<zygote::ControlSocket::Received>> received =
        daemon_.Receive(/*wait=*/false);
    if (!received.ok()) {
      if (!zygote::IsClosed(received.status())) {
        std::fprintf(stderr, "prefork-worker: from the daemon: %s\n",
                     std::string(received.status().message()).c_str());
      }
      return false;
    }
    if (!received->has_value()) return true;
    if (auto* fork = std::get_if<zygote::Fork>(&(*received)->message)) {
      ForkWorker(fork->body, std::move((*received)->fds));
    } else {
      return false;  // SHUTDOWN, or something that a daemon of this release does not send
    }
  }
}

void Zygote::ForkWorker(const zygote::ForkBody& body, std::vector<os::Fd> fds) {
  const zygote::WorkerName name = body.worker;
  if (fds.empty()) {
    return RefuseFork(name, EMFILE, os::ErrnoStatus(EMFILE, "recvmsg of a worker's descriptors"));
  }
  Reach(ZygoteStep::kBeforeFork);
  std::fflush(nullptr);  // or each worker would write it once more
  runtime_->BeforeFork();
  const pid_t pid = fork();
  if (pid == 0) BecomeWorker(body, std::move(fds));
  const int error_number = errno;
  runtime_->AfterForkInZygote();
  if (pid < 0) {
    return RefuseFork(name, error_number, os::SpawnErrnoStatus(error_number, "fork of a worker"));
  }
  AnnounceWorker(name, pid);
  Reach(ZygoteStep::kForked);
}

void Zygote::BecomeWorker(const zygote::ForkBody& body, std::vector<os::Fd> fds) {
  runtime_->AfterForkInWorker();
  daemon_.Close();
  signals_.Reset();
  WorkerMain({body.worker, body.dedicated != 0, options_.pool, std::move(fds), runtime_,
              options_.observer});
}

void Zygote::AnnounceWorker(zygote::WorkerName name, pid_t pid) {
  const absl::StatusOr<os::Pidfd> pidfd = os::Pidfd::Open(pid);
  if (!pidfd.ok()) {  // out of descriptors; a worker that can't be watched must not run
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    return RefuseFork(name, EMFILE, pidfd.status());
  }
  workers_.emplace(pid, name);
  const int fd = pidfd->fd();
  Tell(zygote::Forked{{name, static_cast<uint32_t>(pid), 0}}, {fd});
}

void Zygote::RefuseFork(zygote::WorkerName name, int error_number, const absl::Status& why) {
  Tell(zygote::ForkFailed{{name, error_number, 0}, std::string(why.message())});
}

bool Zygote::IsWorkerOrOwn(pid_t pid) const {
  return workers_.contains(pid) || own_children_.contains(pid);
}

void Zygote::ReapChildren() {
  for (;;) {
    siginfo_t info = {};
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return;
    const pid_t pid = info.si_pid;
    const auto worker = workers_.find(pid);
    if (worker != workers_.end())
      KillLeftovers([this](pid_t child) { return IsWorkerOrOwn(child); });
    int wait_status = 0;
    rusage usage = {};
    if (wait4(pid, &wait_status, WNOHANG, &usage) != pid) continue;
    own_children_.erase(pid);
    if (worker == workers_.end()) continue;
    ReportExit(worker->second, pid, wait_status, usage);
    workers_.erase(worker);
  }
}

void Zygote::ReportExit(zygote::WorkerName name, pid_t pid, int wait_status, const rusage& usage) {
  zygote::ExitedBody body = {};
  body.worker = name;
  body.pid = static_cast<uint32_t>(pid);
  body.wait_status = wait_status;
  body.user_cpu_ns = Nanoseconds(usage.ru_utime);
  body.system_cpu_ns = Nanoseconds(usage.ru_stime);
  body.max_rss_bytes = int64_t{usage.ru_maxrss} * 1024;
  body.minor_faults = usage.ru_minflt;
  body.major_faults = usage.ru_majflt;
  body.voluntary_switches = usage.ru_nvcsw;
  body.involuntary_switches = usage.ru_nivcsw;
  Tell(zygote::Exited{body});
}

void Zygote::WaitForChildren(int64_t patience_ns) {
  const int64_t deadline_ns = os::Clock::System()->MonotonicNs() + patience_ns;
  for (;;) {
    while (os::ReadSignalfd(signals_.get()).has_value()) {
    }
    ReapChildren();
    const int64_t left_ns = deadline_ns - os::Clock::System()->MonotonicNs();
    if (workers_.empty() || left_ns <= 0) return;
    pollfd polled = {signals_.get(), POLLIN, 0};
    poll(&polled, 1, static_cast<int>(left_ns / 1'000'000 + 1));
  }
}

void Zygote::EndWorkers() {
  for (const auto& [pid, name] : workers_) {
    const absl::StatusOr<os::Pidfd> worker = os::Pidfd::Open(pid);
    if (worker.ok()) (void)os::SignalTree(*worker, SIGTERM);  // what it missed is killed below
  }
  WaitForChildren(kEndGraceNs);
  for (const auto& [pid, name] : workers_) kill(pid, SIGKILL);
  WaitForChildren(kEndGraceNs);
  KillLeftovers();
}

}  // namespace prefork::worker
