// A zygote from posix_spawn to its last word.
//
//   preforkd                                     zygote
//   control_  <==== SEQPACKET ================== descriptor 3, its number in PREFORK_ZYGOTE_FD
//                <-- READY (functions)  | FAILED (why)
//                --> FORK (worker, 6 descriptors)
//                <-- FORKED (pid, pidfd)  | FORK_FAILED (errno)
//                <-- EXITED (pid, wait status, usage)
//                --> SHUTDOWN
//   output_   <---- pipe ----------------------- stdout, stderr
//   pidfd_    readable: it has ended
//
// It is held to account: READY must come within start_timeout, every FORK be answered within the
// same, in the order of the socket; FORKED only for what was asked, with a pidfd of a child of its
// own; EXITED only for what was forked. Anything else is nonsense and ends it.
//
// The end is taken from the pidfd, not from the socket: by then its workers have become children of
// the daemon, and everything it ever sent can be read. Messages are drained first (so that a worker
// it announced is known), then the process is reaped, then OnZygoteGone. If only the socket closes
// it has a moment to end by itself, because the reason it gives in its exit status is worth more
// than our SIGKILL.
#include "server/pool/zygote_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/os/errno_status.h"
#include "common/os/pipe.h"
#include "common/os/process_stats.h"
#include "common/os/spawn.h"
#include "common/os/wait_status.h"

namespace prefork::pool {
namespace {

constexpr int kMaxZygoteMessagesPerPass = 64;
constexpr int kSocketInChild = 3;
constexpr size_t kMaxLineBytes = 4 << 10;
// How long a zygote may take to end after it closed its socket or said FAILED.
constexpr absl::Duration kZygoteEndPatience = absl::Seconds(1);

std::string Describe(zygote::WorkerName worker) {
  return absl::StrCat("worker ", worker.index, " generation ", worker.generation);
}

absl::Status Nonsense(const std::string& what) { return absl::InvalidArgumentError(what); }

}  // namespace

absl::StatusOr<std::unique_ptr<ZygoteProcess>> ZygoteProcess::Start(const ZygoteOptions& options,
                                                                    os::EventLoop* loop,
                                                                    OrphanReaper* orphans,
                                                                    ZygoteObserver* observer) {
  std::unique_ptr<ZygoteProcess> zygote(new ZygoteProcess(options, loop, orphans, observer));
  if (absl::Status status = zygote->Spawn(); !status.ok()) return status;
  return zygote;
}

absl::Status ZygoteProcess::Spawn() {
  auto control = zygote::ControlSocket::CreatePair();
  if (!control.ok()) return control.status();
  absl::StatusOr<os::Pipe> output = os::CreatePipe();
  if (!output.ok()) return output.status();
  const os::Fd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!null.valid()) return os::ErrnoStatus(errno, "open of /dev/null");

  control_ = std::move(control->first);
  absl::Status status =
      loop_->Watch(control_.fd(), EPOLLIN, [this](uint32_t) { OnControlReadable(); });
  status.Update(output_.Open(loop_, std::move(output->read_end), [this] { ReadOutput(); }));
  if (!status.ok()) return status;

  os::SpawnOptions spawn;
  spawn.argv = options_.argv;
  spawn.env = options_.env;
  spawn.env.push_back(absl::StrCat(zygote::kSocketVariable, "=", kSocketInChild));
  spawn.cwd = options_.cwd;
  spawn.fds = {{STDIN_FILENO, null.get()},
               {STDOUT_FILENO, output->write_end.get()},
               {STDERR_FILENO, output->write_end.get()},
               {kSocketInChild, control->second.fd()}};
  spawn.group = os::SpawnOptions::Group::kNewSession;
  absl::StatusOr<os::Pidfd> pidfd = os::Spawn(spawn);
  if (!pidfd.ok()) return pidfd.status();
  pidfd_ = *std::move(pidfd);
  orphans_->Own(pid());
  KillAfter(options_.start_timeout, absl::StrCat("not ready within start_timeout, ",
                                                 absl::FormatDuration(options_.start_timeout)));
  return loop_->Watch(pidfd_.fd(), EPOLLIN, [this](uint32_t) { OnProcessEnded(); });
}

ZygoteProcess::~ZygoteProcess() {
  if (control_.valid()) loop_->Unwatch(control_.fd());
  if (state_ == State::kGone || !pidfd_.valid()) return;
  loop_->Unwatch(pidfd_.fd());
  pidfd_.SendSignal(SIGKILL).IgnoreError();
  orphans_->Disown(pid());
}

absl::Status ZygoteProcess::Fork(zygote::WorkerName worker, bool dedicated,
                                 absl::Span<const int> fds) {
  if (state_ != State::kReady) return absl::UnavailableError("the zygote is not ready");
  const zygote::Fork message = {{worker, dedicated ? 1U : 0U, 0}};
  if (absl::Status status = control_.Send(message, fds); !status.ok()) return status;
  asked_.emplace(worker.index, worker.generation);
  if (!deadline_.armed()) ExpectAnswer();
  return absl::OkStatus();
}

void ZygoteProcess::Stop(absl::Duration patience) {
  if (state_ == State::kGone || state_ == State::kEnding) return;
  if (control_.valid()) control_.Send(zygote::Shutdown{}).IgnoreError();
  state_ = State::kEnding;
  asked_to_end_ = true;
  why_ended_ = "asked to end";
  KillAfter(patience,
            absl::StrCat("did not end within ", absl::FormatDuration(patience), " of being asked"));
}

void ZygoteProcess::Kill(const std::string& why) {
  if (state_ == State::kGone) return;
  state_ = State::kEnding;
  why_ended_ = why;
  deadline_.Cancel();
  // It can fail only when the process is gone, which its pidfd will say.
  pidfd_.SendSignal(SIGKILL).IgnoreError();
}

// --- what it says -------------------------------------------------------------------------------

void ZygoteProcess::OnControlReadable() {
  for (int i = 0; i < kMaxZygoteMessagesPerPass; ++i) {
    if (!ReceiveOne()) return;
  }
}

// Returns whether there may be more.
bool ZygoteProcess::ReceiveOne() {
  if (!control_.valid()) return false;
  absl::StatusOr<std::optional<zygote::ControlSocket::Received>> received =
      control_.Receive(/*wait=*/false);
  if (received.ok() && !received->has_value()) return false;
  if (zygote::IsClosed(received.status())) {
    OnControlEnd();
    return false;
  }
  absl::Status status = received.status();
  if (status.ok()) status = OnMessage(**std::move(received));
  if (!status.ok()) {
    loop_->Unwatch(control_.fd());
    control_.Close();
    Kill(absl::StrCat("broke the zygote protocol: ", status.message()));
    return false;
  }
  return true;
}

absl::Status ZygoteProcess::OnMessage(zygote::ControlSocket::Received received) {
  const zygote::Message& message = received.message;
  if (const auto* ready = std::get_if<zygote::Ready>(&message)) return OnReady(*ready);
  if (const auto* failed = std::get_if<zygote::Failed>(&message)) {
    if (was_ready_) return Nonsense("FAILED after READY");
    state_ = State::kEnding;
    why_ended_ =
        failed->reason.empty() ? "could not be made ready, it did not say why" : failed->reason;
    KillAfter(kZygoteEndPatience, why_ended_);
    return absl::OkStatus();
  }
  if (const auto* forked = std::get_if<zygote::Forked>(&message)) {
    return OnForkedMessage(forked->body, std::move(received.fds.front()));
  }
  if (const auto* failed = std::get_if<zygote::ForkFailed>(&message)) {
    return OnForkFailedMessage(*failed);
  }
  if (const auto* exited = std::get_if<zygote::Exited>(&message)) {
    return OnExitedMessage(exited->body);
  }
  return Nonsense(absl::StrCat(zygote::TypeName(static_cast<uint32_t>(zygote::TypeOf(message))),
                               " is not for zygotes to say"));
}

absl::Status ZygoteProcess::OnReady(const zygote::Ready& ready) {
  if (was_ready_) return Nonsense("a second READY");
  if (state_ != State::kStarting) return absl::OkStatus();  // too late: it is being ended
  state_ = State::kReady;
  was_ready_ = true;
  ready_ns_ = loop_->clock()->MonotonicNs();
  deadline_.Cancel();
  observer_->OnZygoteReady(*this, ready.functions);
  return absl::OkStatus();
}

bool ZygoteProcess::TakeAsked(zygote::WorkerName worker) {
  if (asked_.erase({worker.index, worker.generation}) == 0) return false;
  if (state_ == State::kReady) ExpectAnswer();
  return true;
}

absl::Status ZygoteProcess::OnForkedMessage(const zygote::ForkedBody& body, os::Fd pidfd) {
  if (!TakeAsked(body.worker)) {
    return Nonsense(absl::StrCat("FORKED of ", Describe(body.worker), ", which was not asked for"));
  }
  const auto pid = static_cast<pid_t>(body.pid);
  absl::StatusOr<os::Pidfd> process = os::Pidfd::Adopt(std::move(pidfd));
  if (absl::IsNotFound(process.status())) {
    process = os::Pidfd();  // ended and reaped already; EXITED is on its way
  } else if (!process.ok()) {
    return Nonsense(
        absl::StrCat("FORKED of ", Describe(body.worker), ": ", process.status().message()));
  } else if (process->pid() != pid) {
    return Nonsense(absl::StrCat("FORKED of ", Describe(body.worker), " says pid ", pid,
                                 ", but its pidfd means ", process->pid()));
  } else {
    // Whoever this names will be killed one day: it has to be the zygote's own child, or ours if
    // the zygote has died since.
    const absl::StatusOr<os::ProcessStats> stats = os::ReadProcessStats(pid);
    if (stats.ok() && stats->parent != this->pid() && stats->parent != getpid()) {
      return Nonsense(absl::StrCat("FORKED of ", Describe(body.worker), " names process ", pid,
                                   ", which is not its child"));
    }
  }
  workers_[{body.worker.index, body.worker.generation}] = pid;
  observer_->OnForked(*this, body.worker, pid, *std::move(process));
  return absl::OkStatus();
}

absl::Status ZygoteProcess::OnForkFailedMessage(const zygote::ForkFailed& failed) {
  if (!TakeAsked(failed.body.worker)) {
    return Nonsense(
        absl::StrCat("FORK_FAILED of ", Describe(failed.body.worker), ", which was not asked for"));
  }
  absl::Status why = os::SpawnErrnoStatus(failed.body.error_number, "the zygote could not fork");
  if (absl::StrContains(failed.reason, strerror(failed.body.error_number))) {
    why = absl::Status(why.code(), absl::StrCat("the zygote could not fork: ", failed.reason));
  } else if (!failed.reason.empty()) {
    why = absl::Status(why.code(), absl::StrCat(why.message(), " (", failed.reason, ")"));
  }
  observer_->OnForkFailed(*this, failed.body.worker, why);
  return absl::OkStatus();
}

absl::Status ZygoteProcess::OnExitedMessage(const zygote::ExitedBody& body) {
  const auto worker = workers_.find({body.worker.index, body.worker.generation});
  if (worker == workers_.end() || worker->second != static_cast<pid_t>(body.pid)) {
    return Nonsense(absl::StrCat("EXITED of ", Describe(body.worker), " with pid ", body.pid,
                                 ", which it has not forked"));
  }
  workers_.erase(worker);
  observer_->OnWorkerReaped(*this, body);
  return absl::OkStatus();
}

void ZygoteProcess::OnControlEnd() {
  loop_->Unwatch(control_.fd());
  control_.Close();
  if (state_ != State::kStarting && state_ != State::kReady) return;
  state_ = State::kEnding;
  KillAfter(kZygoteEndPatience, "closed its socket but did not end");
}

size_t ZygoteProcess::ReadOutput() {
  std::string_view bytes = output_.Read();
  const size_t count = bytes.size();
  tail_.Append(bytes);
  while (!bytes.empty()) {
    const size_t end = bytes.find('\n');
    line_.append(bytes.substr(0, end));
    bytes.remove_prefix(end == std::string_view::npos ? bytes.size() : end + 1);
    if (end == std::string_view::npos && line_.size() < kMaxLineBytes) break;
    observer_->OnZygoteOutput(*this, line_);
    line_.clear();
  }
  return count;
}

// --- its end ------------------------------------------------------------------------------------

void ZygoteProcess::OnProcessEnded() {
  loop_->Unwatch(pidfd_.fd());
  while (ReceiveOne()) {
  }
  output_.Drain([this] { return ReadOutput(); });
  if (!line_.empty()) observer_->OnZygoteOutput(*this, line_);
  if (control_.valid()) {
    loop_->Unwatch(control_.fd());
    control_.Close();
  }
  deadline_.Cancel();
  const absl::StatusOr<std::optional<os::Pidfd::Exit>> exit = pidfd_.Reap(/*wait=*/false);
  const std::string how = exit.ok() && exit->has_value()
                              ? os::DescribeWaitStatus((*exit)->wait_status)
                              : "ended, its exit status is unknown";
  state_ = State::kGone;
  std::string why = why_ended_.empty() ? how : absl::StrCat(why_ended_, " (", how, ")");
  const std::string last_words = was_ready_ ? "" : tail_.text();
  if (!last_words.empty()) absl::StrAppend(&why, "; its last words: ", last_words);
  observer_->OnZygoteGone(*this, why);
  orphans_->Disown(pid());
}

void ZygoteProcess::ExpectAnswer() {
  deadline_.Cancel();
  if (asked_.empty()) return;
  KillAfter(options_.start_timeout, absl::StrCat("did not answer FORK within start_timeout, ",
                                                 absl::FormatDuration(options_.start_timeout)));
}

void ZygoteProcess::KillAfter(absl::Duration patience, const std::string& why) {
  deadline_.Set(patience, [this, why] { Kill(why); });
}

}  // namespace prefork::pool
