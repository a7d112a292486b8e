// A zygote that does everything by itself, well or badly: the tests' counterpart of the pool.
//
//   fake_zygote ZYGOTE_MODE WORKER_MODE CURE_FILE
//
// Zygotes started and workers forked once CURE_FILE exists behave well. Every failure is described where its mode is handled.
// A well-behaved worker does what the function name of a task says: see DoTask.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/os/pidfd.h"
#include "common/os/signal.h"
#include "common/shm/lane.h"
#include "common/zygote/control_socket.h"

namespace prefork::pool {
namespace {

constexpr int kBrokenTest = 99;  // exit code that no test expects

void Require(bool condition) {
  if (!condition) _exit(kBrokenTest);
}

void Say(int fd, std::string_view text) {
  Require(write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
}

[[noreturn]] void LiveForEver() {
  for (;;) pause();
}

// --- a worker -----------------------------------------------------------------------------------

class FakeWorker {
 public:
  FakeWorker(zygote::WorkerName name, std::vector<os::Fd> fds)
      : name_(name), fds_(std::move(fds)) {}

  [[noreturn]] void Run(std::string_view mode) {
    os::ResetSignals();
    setsid();
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    dup2(fds_[zygote::kForkStdout].get(), STDOUT_FILENO);
    dup2(fds_[zygote::kForkStderr].get(), STDERR_FILENO);
    if (mode == "dies") Die("no licence found\n");
    if (mode == "dies-one-in-ten" && name_.generation % 10 == 1) Die("bad luck\n");
    if (mode == "never-ready") LiveForEver();
    auto lane = shm::LaneGuest::Map(std::move(fds_[zygote::kForkLane]),
                                    std::move(fds_[zygote::kForkDownEvent]),
                                    std::move(fds_[zygote::kForkUpEvent]));
    Require(lane.ok());
    zygote::ControlSocket control(std::move(fds_[zygote::kForkControl]));
    fds_.clear();
    zygote::WorkerReady ready = {{name_}};
    if (mode == "wrong-name") ++ready.body.worker.generation;
    Require(control.Send(ready).ok());
    if (mode == "ready-twice") Require(control.Send(ready).ok());
    if (mode == "garbage") Require(send(control.fd(), "garbage", 7, 0) == 7);
    if (mode == "closes-control") {
      control.Close();
      LiveForEver();
    }
    if (mode == "dies-young") Die("nothing works here\n");
    if (mode == "ignores-retirement") LiveForEver();
    Serve(*lane, control);
  }

 private:
  [[noreturn]] static void Die(std::string_view last_words) {
    Say(STDERR_FILENO, last_words);
    _exit(5);
  }

  [[noreturn]] void Serve(shm::LaneGuest& lane, zygote::ControlSocket& control) {
    for (;;) {
      auto record = lane.down().Next(/*claim=*/true);
      Require(record.ok());
      if (record->has_value()) {
        DoTask(lane, control, (*record)->body);
        lane.down().Release();
        continue;
      }
      if (!lane.down().PrepareSleep()) continue;
      pollfd fds[] = {{lane.down_eventfd(), POLLIN, 0}, {control.fd(), POLLIN, 0}};
      poll(fds, 2, -1);
      uint64_t ignored;
      if (fds[0].revents != 0)
        Require(read(lane.down_eventfd(), &ignored, 8) == 8 || errno == EAGAIN);
      lane.down().CancelSleep();
      if (fds[1].revents == 0) continue;
      auto received = control.Receive(/*wait=*/false);
      if (zygote::IsClosed(received.status())) _exit(0);
      Require(received.ok());
    }
  }

  // The function name: "exit:N", "print:TEXT" (stdout), "abort", "spawn" (leaves a grandchild that
  // ignores SIGTERM and holds the pipes), "ask:BYTES" (a segment; the answer is not awaited),
  // "done".
  static void DoTask(shm::LaneGuest& lane, zygote::ControlSocket& control,
                     std::span<const std::byte> body) {
    shm::TaskRecord task;
    memcpy(&task, body.data(), sizeof(task));
    const std::string function(reinterpret_cast<const char*>(body.data()) + sizeof(task),
                               task.function_bytes);
    const size_t colon = function.find(':');
    const std::string verb = function.substr(0, colon);
    const std::string rest = colon == std::string::npos ? "" : function.substr(colon + 1);
    lane.status().running_task.store(task.task_id);
    if (verb == "exit") _exit(atoi(rest.c_str()));
    if (verb == "abort") abort();
    if (verb == "print") Say(STDOUT_FILENO, rest);
    if (verb == "spawn" && fork() == 0) {
      signal(SIGTERM, SIG_IGN);
      setsid();
      LiveForEver();
    }
    if (verb == "ask") {
      uint64_t bytes = 0;
      Require(absl::SimpleAtoi(rest, &bytes));
      Require(control.Send(zygote::SegmentRequest{bytes}).ok());
    }
    const auto room = lane.up().Reserve(shm::RecordKind::kFinished, sizeof(shm::FinishedRecord));
    Require(!room.empty());
    shm::FinishedRecord finished = {};
    finished.task_id = task.task_id;
    finished.outcome = static_cast<uint32_t>(shm::TaskOutcome::kSucceeded);
    memcpy(room.data(), &finished, sizeof(finished));
    lane.up().Commit();
    lane.up().PublishAndWake();
    // What was printed belongs to this task only while the word stands; see worker_process.cc.
    if (verb != "print") lane.status().running_task.store(0);
  }

  const zygote::WorkerName name_;
  std::vector<os::Fd> fds_;
};

// --- the zygote ---------------------------------------------------------------------------------

class FakeZygote {
 public:
  FakeZygote(zygote::ControlSocket control, std::string mode, std::string worker_mode,
             std::string cure_file)
      : control_(std::move(control)),
        worker_mode_(std::move(worker_mode)),
        cure_file_(std::move(cure_file)),
        mode_(IsCured() ? "good" : std::move(mode)) {}

  [[noreturn]] void Run() {
    if (mode_ == "never-ready") LiveForEver();
    if (mode_ == "dies") {
      Say(STDERR_FILENO, "ModuleNotFoundError: numpy\n");
      _exit(3);
    }
    if (mode_ == "fails") {
      Send(zygote::Failed{"module /lib/missing.so: no such file"});
      _exit(1);
    }
    Send(zygote::Ready{{zygote::kProtocolVersion, static_cast<uint32_t>(getpid())},
                       "square\tSquares a number\ncube\t"});
    if (mode_ == "ready-twice") {
      Send(zygote::Ready{{zygote::kProtocolVersion, static_cast<uint32_t>(getpid())}, ""});
    }
    if (mode_ == "garbage") Require(send(control_.fd(), "garbage", 7, 0) == 7);
    if (mode_ == "oversize") {
      const std::string much(zygote::kMaxMessageBytes + 1, 'x');
      Require(send(control_.fd(), much.data(), much.size(), 0) > 0);
    }
    if (mode_ == "exited-unknown") SendExited({7, 7}, 4711, 0, {});
    if (mode_ == "closes-socket") {
      control_.Close();
      LiveForEver();
    }
    Require(os::BlockSignals({SIGCHLD}).ok());
    auto sigchld = os::CreateSignalfd({SIGCHLD});
    Require(sigchld.ok());
    for (;;) {
      pollfd fds[] = {{control_.fd(), POLLIN, 0}, {sigchld->get(), POLLIN, 0}};
      poll(fds, 2, -1);
      if (fds[1].revents != 0) {
        while (os::ReadSignalfd(sigchld->get())) {
        }
        if (mode_ != "never-reaps") ReapAll();
      }
      if (fds[0].revents != 0) ReceiveOne();
    }
  }

 private:
  void Send(const zygote::Message& message, absl::Span<const int> fds = {}) {
    Require(control_.Send(message, fds).ok());
  }

  void ReceiveOne() {
    auto received = control_.Receive(/*wait=*/false);
    if (zygote::IsClosed(received.status())) End();
    Require(received.ok());
    if (!received->has_value()) return;
    if (std::holds_alternative<zygote::Shutdown>((*received)->message)) {
      if (mode_ == "ignores-shutdown") return;
      End();
    }
    const auto* fork = std::get_if<zygote::Fork>(&(*received)->message);
    Require(fork != nullptr);
    Fork(fork->body.worker, std::move((*received)->fds));
  }

  [[noreturn]] void End() {
    for (const auto& [pid, name] : workers_) kill(pid, SIGKILL);
    _exit(0);
  }

  void Fork(zygote::WorkerName name, std::vector<os::Fd> fds) {
    if (mode_ == "mute") return;
    if (mode_ == "fork-fails") {
      return Send(zygote::ForkFailed{{name, EAGAIN, 0}, "fork"});
    }
    if (mode_ == "names-the-daemon") {
      auto pidfd = os::Pidfd::Open(getppid());
      Require(pidfd.ok());
      return Send(zygote::Forked{{name, static_cast<uint32_t>(getppid()), 0}}, {pidfd->fd()});
    }
    const pid_t pid = fork();
    Require(pid >= 0);
    if (pid == 0) {
      control_.Close();
      FakeWorker(name, std::move(fds)).Run(IsCured() ? "good" : worker_mode_);
    }
    workers_[pid] = name;
    if (mode_ == "dies-unannounced") _exit(4);
    auto pidfd = os::Pidfd::Open(pid);
    Require(pidfd.ok());
    const zygote::Forked forked = {{name, static_cast<uint32_t>(pid), 0}};
    if (mode_ == "no-pidfd") {
      const std::string packet = zygote::Encode(forked);
      Require(send(control_.fd(), packet.data(), packet.size(), 0) > 0);
      return;
    }
    if (mode_ == "reaps-early") {  // the pidfd then means nobody
      kill(pid, SIGKILL);
      int status = 0;
      rusage usage = {};
      Require(wait4(pid, &status, 0, &usage) == pid);
      Send(forked, {pidfd->fd()});
      workers_.erase(pid);
      return SendExited(name, pid, status, usage);
    }
    Send(forked, {pidfd->fd()});
    if (mode_ == "forked-twice") Send(forked, {pidfd->fd()});
    if (mode_ == "exited-alive") SendExited(name, pid, 0, {});
  }

  void ReapAll() {
    int status = 0;
    rusage usage = {};
    for (pid_t pid; (pid = wait4(-1, &status, WNOHANG, &usage)) > 0;) {
      SendExited(workers_[pid], pid, status, usage);
      workers_.erase(pid);
    }
  }

  void SendExited(zygote::WorkerName name, pid_t pid, int status, const rusage& usage) {
    zygote::ExitedBody body = {};
    body.worker = name;
    body.pid = static_cast<uint32_t>(pid);
    body.wait_status = status;
    body.user_cpu_ns = usage.ru_utime.tv_sec * 1'000'000'000 + usage.ru_utime.tv_usec * 1000;
    body.system_cpu_ns = usage.ru_stime.tv_sec * 1'000'000'000 + usage.ru_stime.tv_usec * 1000;
    body.max_rss_bytes = usage.ru_maxrss * 1024;
    Send(zygote::Exited{body});
  }

  bool IsCured() const { return access(cure_file_.c_str(), F_OK) == 0; }

  zygote::ControlSocket control_;
  const std::string worker_mode_;
  const std::string cure_file_;
  const std::string mode_;
  std::map<pid_t, zygote::WorkerName> workers_;
};

}  // namespace
}  // namespace prefork::pool

int main(int argc, char** argv) {
  const char* socket = getenv(prefork::zygote::kSocketVariable);
  if (argc != 4 || socket == nullptr) return prefork::pool::kBrokenTest;
  prefork::zygote::ControlSocket control(prefork::os::Fd(atoi(socket)));
  prefork::pool::FakeZygote(std::move(control), argv[1], argv[2], argv[3]).Run();
}
