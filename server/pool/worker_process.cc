// What the daemon holds of a worker, and how its end is put together.
//
//   daemon                                        worker
//   lane memfd  ---- queues, status words ------- lane            tasks and results
//   control     <--- SEQPACKET ------------------ control         READY; EOF: end; segments
//                                                                 (worker_segments.cc)
//   stdout_, stderr_ <--- pipes ----------------- 1, 2            output
//   pidfd_      <--- from the zygote                              readable: it has ended
//
// Output attribution. The worker publishes the task it runs in status().running_task; each read of
// a pipe is framed by output_read_begin and output_read_end, and the worker waits for a read that
// has begun before it changes the word. So the bytes of one read belong to the task loaded before
// it.
//
// The end. The pidfd says that the process has ended: OnDied, so that a replacement starts at once.
// OnExited comes when all of these are true:
//   1. the exit status is known: EXITED from the zygote, our own wait after an adoption, or lost;
//   2. its tree is gone: with the worker dead, what it started are children of the nearest subreaper.
//      That is its zygote, if it is one, which then ends them before it says EXITED; else the daemon,
//      whose orphan reaper ends them (after a limit, survivors are named in the detail);
//   3. the pipes are empty; as no writer is left, no end of file is waited for;
//   4. the lane was offered for a last drain, as nobody can write it any more.
//
// A zygote that does not report a death within a limit is reported to the host, which kills it: the
// dead worker then becomes our child. Every wait has a bound (deadline_), and no timer is armed
// while the worker is ready.
#include "server/pool/worker_process.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/os/check.h"
#include "common/os/pipe.h"
#include "common/os/process_tree.h"

namespace prefork::pool {
namespace {

constexpr int kMaxWorkerMessagesPerPass = 32;
// How long a dead worker's exit status may take, if its zygote is healthy.
constexpr absl::Duration kStatusPatience = absl::Seconds(2);
// How long killed processes may take to disappear; longer only in uninterruptible sleep.
constexpr absl::Duration kTreePatience = absl::Seconds(5);
// How long a worker may live on without its control socket.
constexpr absl::Duration kWorkerEndPatience = absl::Seconds(2);

absl::Duration CpuTime(const rusage& usage) {
  return absl::DurationFromTimeval(usage.ru_utime) + absl::DurationFromTimeval(usage.ru_stime);
}

}  // namespace

absl::StatusOr<std::unique_ptr<WorkerProcess>> WorkerProcess::Prepare(
    const WorkerProcessOptions& options, const Environment& environment) {
  shm::LaneOptions lane_options;
  lane_options.worker_index = options.index;
  lane_options.generation = options.generation;
  absl::StatusOr<shm::LaneOwner> lane = shm::LaneOwner::Create(lane_options);
  if (!lane.ok()) return lane.status();
  auto control = zygote::ControlSocket::CreatePair();
  if (!control.ok()) return control.status();
  absl::StatusOr<os::Pipe> out = os::CreatePipe();
  if (!out.ok()) return out.status();
  absl::StatusOr<os::Pipe> err = os::CreatePipe();
  if (!err.ok()) return err.status();
  std::unique_ptr<WorkerProcess> worker(new WorkerProcess(options, environment, *std::move(lane)));
  worker->control_ = std::move(control->first);
  worker->given_control_ = std::move(control->second);
  worker->stdout_read_ = std::move(out->read_end);
  worker->given_stdout_ = std::move(out->write_end);
  worker->stderr_read_ = std::move(err->read_end);
  worker->given_stderr_ = std::move(err->write_end);
  return worker;
}

WorkerProcess::WorkerProcess(const WorkerProcessOptions& options, const Environment& environment,
                             shm::LaneOwner lane)
    : options_(options),
      environment_(environment),
      lane_(std::move(lane)),
      deadline_(environment.loop),
      segments_({options.index, options.generation}, environment.loop, &control_) {}

WorkerProcess::~WorkerProcess() {
  if (state_ == WorkerState::kForking || state_ == WorkerState::kExited) return;
  environment_.loop->Unwatch(lane_.up_eventfd());
  if (control_.valid()) environment_.loop->Unwatch(control_.fd());
  if (pidfd_.valid()) {
    environment_.loop->Unwatch(pidfd_.fd());
    if (state_ != WorkerState::kDead) os::SignalTree(pidfd_, SIGKILL).IgnoreError();
  }
  environment_.orphans->Disown(pid_);
}

std::array<int, zygote::kForkDescriptorCount> WorkerProcess::GivenDescriptors() const {
  std::array<int, zygote::kForkDescriptorCount> fds = {};
  fds[zygote::kForkLane] = lane_.memfd();
  fds[zygote::kForkDownEvent] = lane_.down_eventfd();
  fds[zygote::kForkUpEvent] = lane_.up_eventfd();
  fds[zygote::kForkControl] = given_control_.fd();
  fds[zygote::kForkStdout] = given_stdout_.get();
  fds[zygote::kForkStderr] = given_stderr_.get();
  return fds;
}

void WorkerProcess::CloseGivenDescriptors() {
  given_control_.Close();
  given_stdout_.Reset();
  given_stderr_.Reset();
}

void WorkerProcess::Apply(WorkerEvent event) {
  const std::optional<WorkerState> next = NextState(state_, event);
  PREFORK_CHECK(next.has_value());
  deadline_.Cancel();
  state_ = *next;
}

// --- its life -----------------------------------------------------------------------------------

void WorkerProcess::OnForked(pid_t pid, os::Pidfd pidfd) {
  Apply(WorkerEvent::kForked);
  pid_ = pid;
  pidfd_ = std::move(pidfd);
  started_at_ = environment_.loop->clock()->Wall();
  environment_.orphans->Own(pid_);
  environment_.host->OnStarting(*this);
  absl::Status status = WatchLaneAndOutput();
  if (!pidfd_.valid()) return OnProcessEnded();
  deadline_.Set(options_.start_timeout, [this] {
    Kill(ExitReason::kStartFailed, absl::StrCat("not ready within start_timeout, ",
                                                absl::FormatDuration(options_.start_timeout)));
  });
  status.Update(WatchProcess());
  if (killed_) return KillTree();  // while forking
  if (!status.ok()) Kill(ExitReason::kStartFailed, std::string(status.message()));
}

void WorkerProcess::OnForkFailed() { Apply(WorkerEvent::kForkFailed); }

absl::Status WorkerProcess::WatchProcess() {
  os::EventLoop* loop = environment_.loop;
  absl::Status status = loop->Watch(pidfd_.fd(), EPOLLIN, [this](uint32_t) { OnProcessEnded(); });
  status.Update(loop->Watch(control_.fd(), EPOLLIN, [this](uint32_t events) {
    if ((events & EPOLLOUT) != 0) OnControlWritable();
    if ((events & ~uint32_t{EPOLLOUT}) != 0 && control_.valid()) OnControlReadable();
  }));
  return status;
}

absl::Status WorkerProcess::WatchLaneAndOutput() {
  os::EventLoop* loop = environment_.loop;
  absl::Status status = loop->Watch(lane_.up_eventfd(), EPOLLIN | EPOLLET,
                                    [this](uint32_t) { environment_.host->OnLaneReadable(*this); });
  status.Update(
      stdout_.Open(loop, std::move(stdout_read_), [this] { ReadOutput(stdout_, STDOUT_FILENO); }));
  status.Update(
      stderr_.Open(loop, std::move(stderr_read_), [this] { ReadOutput(stderr_, STDERR_FILENO); }));
  return status;
}

void WorkerProcess::OnControlReadable() {
  for (int i = 0; i < kMaxWorkerMessagesPerPass && control_.valid(); ++i) {
    auto received = control_.Receive(/*wait=*/false);
    if (!received.ok()) {
      if (zygote::IsClosed(received.status())) return OnControlEnd();
      return Kill(ExitReason::kProtocolViolation,
                  absl::StrCat("nonsense on its control socket: ", received.status().message()));
    }
    if (!received->has_value()) return;
    OnControlMessage((*received)->message);
  }
}

void WorkerProcess::OnControlMessage(const zygote::Message& message) {
  if (killed_) return;
  if (const auto* ready = std::get_if<zygote::WorkerReady>(&message)) {
    const zygote::WorkerName& name = ready->body.worker;
    if (state_ != WorkerState::kStarting || name.index != index() ||
        name.generation != generation()) {
      return Kill(ExitReason::kProtocolViolation,
                  absl::StrCat("unexpected WORKER_READY of worker ", name.index, " generation ",
                               name.generation, " in state ", WorkerStateName(state_)));
    }
    Apply(WorkerEvent::kReady);
    was_ready_ = true;
    stderr_tail_.Clear();
    ready_ns_ = environment_.loop->clock()->MonotonicNs();
    return environment_.host->OnReady(*this);
  }
  const auto* request = std::get_if<zygote::SegmentRequest>(&message);
  if (request == nullptr || !was_ready_ || segments_.asked()) {
    return Kill(ExitReason::kProtocolViolation,
                absl::StrCat("unexpected ",
                             zygote::TypeName(static_cast<uint32_t>(zygote::TypeOf(message))),
                             " on its control socket",
                             segments_.asked() ? " while an earlier one was not answered" : ""));
  }
  segments_.NoteRequest();
  environment_.host->OnSegmentRequest(*this, request->size_bytes);
}

void WorkerProcess::OnControlEnd() {
  environment_.loop->Unwatch(control_.fd());
  control_.Close();
  if (state_ == WorkerState::kDead) return;
  deadline_.Set(kWorkerEndPatience, [this] {
    Kill(ExitReason::kProtocolViolation, "closed its control socket but did not end");
  });
}

void WorkerProcess::OnControlWritable() {
  const absl::Status status = segments_.OnWritable();
  if (status.ok() || absl::IsAborted(status)) return;
  Kill(ExitReason::kTaskStopped,
       absl::StrCat("its request for a segment could not be answered: ", status.message()));
}

size_t WorkerProcess::ReadOutput(OutputPipe& pipe, int stream) {
  shm::LaneStatus& status = lane_.status();
  status.output_read_begin.fetch_add(1);
  const uint64_t task_id = status.running_task.load();
  const std::string_view bytes = pipe.Read();
  if (!bytes.empty()) {
    if (stream == STDERR_FILENO && !was_ready_) stderr_tail_.Append(bytes);
    environment_.host->OnOutput(*this, stream, task_id, bytes);
  }
  status.output_read_end.fetch_add(1);
  return bytes.size();
}

// --- its end ------------------------------------------------------------------------------------

void WorkerProcess::Retire(ExitReason reason, absl::Duration patience) {
  if (state_ != WorkerState::kStarting && state_ != WorkerState::kReady) return;
  Apply(WorkerEvent::kRetire);
  end_.Retire(reason);
  if (control_.valid()) {
    environment_.loop->Unwatch(control_.fd());
    control_.Close();
  }
  deadline_.Set(patience, [this, reason, patience] {
    Kill(reason,
         absl::StrCat("did not end within ", absl::FormatDuration(patience), " of being asked"));
  });
}

absl::Status WorkerProcess::SignalTree(int signal, bool include_worker) {
  if (!pidfd_.valid() || state_ == WorkerState::kDead || state_ == WorkerState::kExited) {
    return absl::OkStatus();
  }
  return include_worker ? os::SignalTree(pidfd_, signal) : os::SignalDescendants(pidfd_, signal);
}

void WorkerProcess::Kill(ExitReason reason, std::string_view detail) {
  // Nonsense that is found in the lane of a dead worker still is why it ended.
  const bool post_mortem = state_ == WorkerState::kDead && reason == ExitReason::kProtocolViolation;
  if (post_mortem) end_.Expect(reason, detail);
  if (state_ == WorkerState::kDead || state_ == WorkerState::kExited) return;
  end_.Expect(reason, detail);
  killed_ = true;
  KillTree();
}

void WorkerProcess::KillTree() {
  deadline_.Cancel();
  if (!pidfd_.valid()) return;
  // The worker's own death matters most; what can't be signalled in its tree is named by the
  // reaper.
  os::SignalTree(pidfd_, SIGKILL).IgnoreError();
}

void WorkerProcess::OnProcessEnded() {
  // If it was ready before it died, that is known before its end.
  if (state_ == WorkerState::kStarting) OnControlReadable();
  Apply(WorkerEvent::kDied);
  if (pidfd_.valid()) environment_.loop->Unwatch(pidfd_.fd());
  if (control_.valid()) {
    environment_.loop->Unwatch(control_.fd());
    control_.Close();
  }
  if (adopted_) ReapAdopted();
  if (!end_.status_settled()) {
    deadline_.Set(kStatusPatience, [this] { environment_.host->OnStatusOverdue(*this); });
  }
  environment_.host->OnDied(*this);
  environment_.orphans->Clear(kTreePatience, [this, alive = std::weak_ptr<bool>(alive_)](
                                                 const std::vector<pid_t>& survivors) {
    if (alive.expired()) return;
    end_.NoteTreeGone(survivors);
    SettleIfComplete();
  });
}

bool WorkerProcess::OnReaped(const zygote::ExitedBody& exited) {
  if (pidfd_.valid() && !pidfd_.HasExited()) return false;
  end_.NoteStatus(exited.wait_status,
                  absl::Nanoseconds(exited.user_cpu_ns) + absl::Nanoseconds(exited.system_cpu_ns),
                  static_cast<uint64_t>(exited.max_rss_bytes));
  if (state_ == WorkerState::kDead) {
    deadline_.Cancel();
    SettleIfComplete();
  } else {
    OnProcessEnded();
  }
  return true;
}

void WorkerProcess::OnZygoteGone() {
  adopted_ = true;
  if (state_ != WorkerState::kDead || end_.has_status()) return;
  ReapAdopted();
  SettleIfComplete();
}

void WorkerProcess::ReapAdopted() {
  if (end_.has_status()) return;
  deadline_.Cancel();
  absl::StatusOr<std::optional<os::Pidfd::Exit>> exit =
      pidfd_.valid() ? pidfd_.Reap(/*wait=*/false) : absl::NotFoundError("reaped by the zygote");
  if (!exit.ok() || !exit->has_value()) {
    end_.NoteStatusLost();
    return;
  }
  const rusage& usage = (*exit)->usage;
  end_.NoteStatus((*exit)->wait_status, CpuTime(usage),
                  static_cast<uint64_t>(usage.ru_maxrss) * 1024);
}

void WorkerProcess::SettleIfComplete() {
  if (state_ == WorkerState::kDead && end_.complete()) Settle();
}

void WorkerProcess::Settle() {
  stdout_.Drain([this] { return ReadOutput(stdout_, STDOUT_FILENO); });
  stderr_.Drain([this] { return ReadOutput(stderr_, STDERR_FILENO); });
  environment_.loop->Unwatch(lane_.up_eventfd());
  environment_.host->OnLaneReadable(*this);

  const WorkerExit exit = end_.Judge(was_ready_, dedicated(), environment_.oom_proof);
  Apply(WorkerEvent::kSettled);
  segments_.Clear();
  environment_.orphans->Disown(pid_);
  environment_.host->OnExited(*this, exit);
}

}  // namespace prefork::pool
