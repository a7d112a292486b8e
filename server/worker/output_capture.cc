// Which task wrote it?
//
//   worker: fd 1, 2 --> pipes --> engine            LaneStatus (shared)
//                                                   running_task       worker writes
//                                                   output_read_begin  engine writes
//                                                   output_read_end    engine writes
//
// Pipes carry no task ID, so the two sides keep an invariant: all bytes in the pipes belong to the
// task last announced in running_task.
//
//   engine, to read:                       worker, between two tasks:
//     output_read_begin++  (seq_cst)         flush stdio and iostreams
//     t = running_task     (seq_cst)         wait until both pipes are empty (FIONREAD)
//     read(pipe)           -> t's bytes      publish the result of the old task
//     output_read_end++    (release)         running_task = next  (seq_cst)
//                                            if read_begin != read_end: wait until that read ended
//
// The last line closes the gap in which the engine has looked at running_task but not read yet: the
// two seq_cst pairs can't pass each other, so either the worker sees the read begin, or the engine
// sees the new task. A result is published after the pipes are empty, so a client has all output of
// a task before its end.
//
// Waiting. The engine is woken by the pipe itself. The worker yields a few times, then sleeps with
// timeouts that grow to a millisecond, with an eye on its control socket: if the daemon dies, the
// worker ends here rather than waiting for a reader that will never come.
//
// Price. Two FIONREADs cost as much as the rest of a tiny task. So a function that has run
// kRunsUntilTrusted times in this worker and never wrote anything is trusted to stay silent, unless
// the task asks for exactness (kTaskMeasure): no fence, one plain store. Trust is verified without
// system calls at each end of task (bytes waiting in stdout's buffer; a read that the engine has
// begun), and with the pipes themselves once a millisecond, before a fenced task and before
// sleeping. The limit, then: the first output that a trusted function ever makes may be credited to
// another task of this worker within that millisecond. All functions that ran since the last look
// lose their trust for ever. A runtime that sees what its functions write (Python's sys.stdout) says
// so, and that output is credited exactly.
//
// A task that closes or redirects 1 or 2 does so for itself: they are put back before the next
// fenced task, and at least once a millisecond.
//
// Processes that a task leaves in the background may write later, whoever runs then; a measured task
// leaves none (leftovers.h).
#include "server/worker/output_capture.h"

#include <sched.h>
#include <stdio_ext.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <utility>

#include "absl/status/status.h"

namespace prefork::worker {
namespace {

constexpr uint32_t kRunsUntilTrusted = 256;
constexpr int64_t kVerifyEveryNs = 1'000'000;
constexpr int kYields = 4;
constexpr int64_t kFirstPauseNs = 20'000;
constexpr int64_t kLongestPauseNs = 1'000'000;

void FlushStreams() {
  std::cout.flush();
  std::cerr.flush();
  std::clog.flush();
  std::fflush(stdout);
  std::fflush(stderr);
}

bool IsEmpty(const os::Fd& pipe) {
  int waiting = 0;
  return ioctl(pipe.get(), FIONREAD, &waiting) != 0 || waiting == 0;
}

// Gives the engine time until `done`: yields first, then sleeps longer and longer.
template <typename Done>
void WaitUntil(DaemonLink* link, Done done) {
  for (int i = 0; i < kYields; ++i) {
    if (done()) return;
    sched_yield();
  }
  for (int64_t pause_ns = kFirstPauseNs; !done();
       pause_ns = std::min(2 * pause_ns, kLongestPauseNs)) {
    link->WaitReadable(-1, pause_ns);
  }
}

}  // namespace

absl::StatusOr<OutputCapture> OutputCapture::Create(shm::LaneStatus* status, DaemonLink* link) {
  os::Fd duplicates[2];
  for (const int fd : {STDOUT_FILENO, STDERR_FILENO}) {
    os::Fd borrowed(fd);
    absl::StatusOr<os::Fd> duplicate = borrowed.Duplicate();
    (void)borrowed.Release();
    if (!duplicate.ok()) return duplicate.status();
    duplicates[fd - STDOUT_FILENO] = *std::move(duplicate);
  }
  return OutputCapture(status, link, std::move(duplicates[0]), std::move(duplicates[1]));
}

OutputCapture::OutputCapture(shm::LaneStatus* status, DaemonLink* link, os::Fd stdout_pipe,
                             os::Fd stderr_pipe)
    : status_(status), link_(link), pipes_{std::move(stdout_pipe), std::move(stderr_pipe)} {}

OutputCapture::Habit& OutputCapture::HabitOf(std::string_view function) {
  if (current_name_ != nullptr && *current_name_ == function) return *current_;
  auto place = habits_.find(function);
  if (place == habits_.end()) place = habits_.try_emplace(std::string(function)).first;
  current_name_ = &place->first;
  return place->second;
}

void OutputCapture::BeginTask(uint64_t task_id, std::string_view function, bool exact) {
  current_ = &HabitOf(function);
  fenced_ = exact || current_->writes || current_->silent_runs < kRunsUntilTrusted;
  if (!fenced_) {
    status_->running_task.store(task_id, std::memory_order_release);
    return;
  }
  if (!unverified_.empty()) VerifySilence();
  status_->running_task.store(task_id, std::memory_order_seq_cst);
  WaitForReadsInProgress();
}

void OutputCapture::EndTask(int64_t now_ns, bool wrote) {
  if (fenced_) {
    if (FlushAndDrain()) {
      current_->writes = true;
    } else {
      ++current_->silent_runs;
    }
  } else {
    if (!current_->unverified) {
      current_->unverified = true;
      unverified_.push_back(current_);
    }
    if (wrote || __fpending(stdout) != 0 || WasRead() || now_ns - verified_ns_ >= kVerifyEveryNs) {
      verified_ns_ = now_ns;
      VerifySilence();
    }
  }
  status_->running_task.store(0, std::memory_order_release);
}

void OutputCapture::BeforeSleep() {
  if (!unverified_.empty()) VerifySilence();
}

void OutputCapture::VerifySilence() {
  const bool wrote = FlushAndDrain();
  for (Habit* habit : unverified_) {
    habit->writes |= wrote;
    habit->unverified = false;
  }
  unverified_.clear();
}

bool OutputCapture::WasRead() const {
  return status_->output_read_begin.load(std::memory_order_relaxed) != reads_seen_;
}

bool OutputCapture::PipesEmpty() const { return IsEmpty(pipes_[0]) && IsEmpty(pipes_[1]); }

bool OutputCapture::FlushAndDrain() {
  FlushStreams();
  RestoreStreams();
  bool wrote = false;
  if (!PipesEmpty()) {
    wrote = true;
    WaitUntil(link_, [this] { return PipesEmpty(); });
  }
  // What the engine has read in the meantime was written too.
  wrote |= WasRead();
  reads_seen_ = status_->output_read_begin.load(std::memory_order_relaxed);
  return wrote;
}

void OutputCapture::RestoreStreams() {
  for (const int fd : {STDOUT_FILENO, STDERR_FILENO}) {
    const os::Fd& pipe = pipes_[fd - STDOUT_FILENO];
    struct stat now = {};
    struct stat ours = {};
    if (fstat(pipe.get(), &ours) != 0) continue;
    if (fstat(fd, &now) != 0 || now.st_ino != ours.st_ino || now.st_dev != ours.st_dev) {
      dup2(pipe.get(), fd);
    }
  }
}

void OutputCapture::WaitForReadsInProgress() {
  const uint64_t begun = status_->output_read_begin.load(std::memory_order_seq_cst);
  WaitUntil(link_,
            [&] { return status_->output_read_end.load(std::memory_order_acquire) >= begun; });
}

}  // namespace prefork::worker
