#include "server/engine/exit_reporter.h"

#include <sys/wait.h>

#include <csignal>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/os/wait_status.h"
#include "common/text/units.h"
#include "common/text/utf8.h"
#include "common/text/views.h"

namespace prefork::engine {
namespace {

using scheduler::EndCause;

std::string WorkerOf(const TaskRecord& task, int32_t pid) {
  return WorkerName(task.options->pool, task.worker_index, task.worker_generation, pid);
}

bool HasRun(const TaskRecord& task) { return task.started_ns != 0; }

std::string Duration(absl::Duration duration) { return text::DurationToText(duration); }

// ": because" or nothing.
std::string Because(std::string_view hint) {
  return hint.empty() ? std::string() : absl::StrCat(": ", text::ToAbsl(hint));
}

// What to do about a signal nobody here sent, or an exit in the middle of a task.
std::string CureOfDeath(const std::optional<int>& wait_status) {
  if (!wait_status) return "; its exit status was lost together with its zygote";
  if (WIFEXITED(*wait_status)) {
    return "; a function has to return, not to exit: run it dedicated if its exit code is its "
           "result";
  }
  switch (WTERMSIG(*wait_status)) {
    case SIGKILL:
      return "; no part of the daemon sent it: someone killed it by hand, or the kernel did "
             "(see dmesg)";
    case SIGSEGV:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
      return "; this is a bug in the task's code or in a library it uses";
    case SIGABRT:
      return "; the task's code gave up (abort, a failed assertion or an uncaught exception), see "
             "the end of its standard error";
    case SIGXCPU:
    case SIGXFSZ:
      return "; it exceeded a resource limit";
    default:
      return "; no part of the daemon sent that signal";
  }
}

// "was killed by ...", "exited with ...": what follows the name of a process.
std::string StatusWords(const std::optional<int>& wait_status) {
  if (!wait_status) return "is gone";
  return absl::StrCat(WIFSIGNALED(*wait_status) ? "was " : "",
                      os::DescribeWaitStatus(*wait_status));
}

std::string HowItWasStopped(const TaskRecord& task, const ExitReport& report) {
  if (!HasRun(task)) return "before it ran";
  const std::string worker = WorkerOf(task, report.pid);
  if (!report.wait_status) return absl::StrCat("while ", worker, " ran it");
  return absl::StrCat("while ", worker, " ran it; its process ", StatusWords(report.wait_status));
}

std::string TaskErrorSentence(const TaskRecord& task, const ExitReport& report) {
  if (report.wait_status) {
    return absl::StrCat(task.options->command ? "the command " : "the dedicated process ",
                        StatusWords(report.wait_status));
  }
  if (task.options->command) return "the command could not be run";
  return absl::StrCat("the function \"", task.options->function, "\" reported an error");
}

std::string DeathSentence(const TaskRecord& task, const ExitReport& report, std::string_view hint) {
  return absl::StrCat(
      WorkerOf(task, report.pid), " ", StatusWords(report.wait_status), " while it ran the task",
      hint.empty() ? CureOfDeath(report.wait_status) : absl::StrCat("; ", text::ToAbsl(hint)));
}

std::string Sentence(const TaskRecord& task, EndCause cause, const ExitReport& report,
                     std::string_view hint) {
  const TaskOptions& options = *task.options;
  switch (cause) {
    case EndCause::kNone:
      break;
    case EndCause::kCompleted:
      return absl::StrCat(WorkerOf(task, report.pid), " ran the task to its end");
    case EndCause::kTaskError:
      return TaskErrorSentence(task, report);
    case EndCause::kWorkerDied:
      return DeathSentence(task, report, hint);
    case EndCause::kOutOfMemory:
      return absl::StrCat(
          WorkerOf(task, report.pid), " was killed by the kernel's out-of-memory killer",
          report.peak_rss_bytes > 0 ? absl::StrCat(" at ", text::BytesToText(report.peak_rss_bytes))
                                    : "",
          " while it ran the task; give the task less to hold, the pool fewer workers, or the "
          "daemon more memory");
    case EndCause::kTimeout:
      return absl::StrCat("it ran longer than ",
                          options.timeout
                              ? absl::StrCat("its timeout of ", Duration(*options.timeout))
                              : "its pool's timeout",
                          "; stopped ", HowItWasStopped(task, report));
    case EndCause::kCancelledByClient:
      return absl::StrCat("cancelled by a client ", HowItWasStopped(task, report));
    case EndCause::kClientGone:
      return absl::StrCat("cancelled because the session that submitted it ended, ",
                          HowItWasStopped(task, report),
                          "; submit it detached to keep it when the client goes");
    case EndCause::kProtocolViolation:
      return absl::StrCat(WorkerOf(task, report.pid), " broke the lane's protocol and was killed",
                          Because(hint));
    case EndCause::kDependencyFailed:
      return absl::StrCat("a task that it was to run after did not succeed", Because(hint));
    case EndCause::kQueueExpired:
      return absl::StrCat("it waited longer than its queue timeout of ",
                          Duration(options.queue_timeout), " without being started");
    case EndCause::kPoolDeleted:
      return absl::StrCat("its pool \"", options.pool, "\" was deleted ",
                          HowItWasStopped(task, report));
    case EndCause::kShutdown:
      return absl::StrCat("the daemon was shut down ", HowItWasStopped(task, report));
    case EndCause::kStartFailed:
      return absl::StrCat("its dedicated process could not be started", Because(hint));
    case EndCause::kInternalLimit:
      return absl::StrCat("its payload could not be carried to a worker", Because(hint));
  }
  return std::string(text::ToAbsl(hint));
}

}  // namespace

std::string WorkerName(std::string_view pool, uint32_t index, uint32_t generation, int32_t pid) {
  return absl::StrCat("worker ", text::ToAbsl(pool), "/", index, " generation ", generation,
                      " (pid ", pid, ")");
}

void NoteFinished(const FinishedReport& finished, ExitReport* report) {
  if (finished.outcome == shm::TaskOutcome::kExited) report->wait_status = finished.wait_status;
  if (finished.cpu_ns >= 0) report->cpu_time = absl::Nanoseconds(finished.cpu_ns);
  report->peak_rss_bytes = finished.peak_rss_bytes;
}

void NoteExit(const pool::WorkerExit& exit, ExitReport* report) {
  report->wait_status = exit.wait_status;
  report->out_of_memory = exit.out_of_memory;
  report->peak_rss_bytes = exit.peak_rss_bytes;
  // Of an ordinary death the sentence is made later, when its meaning for the task is known.
  if (exit.reason == pool::ExitReason::kProtocolViolation) report->detail = exit.detail;
}

void CompleteReport(const TaskRecord& task, EndCause cause, std::string_view hint,
                    ExitReport* report) {
  report->cause = cause;
  report->attempt = task.attempt;
  report->pid = task.worker_pid;
  if (task.worker_index != kNone) {
    report->worker_index = task.worker_index;
    report->worker_generation = task.worker_generation;
  }
  if (HasRun(task)) report->run_time = absl::Nanoseconds(task.finished_ns - task.started_ns);
  const int64_t left_queue_ns =
      task.first_started_ns != 0 ? task.first_started_ns : task.finished_ns;
  report->queue_time = absl::Nanoseconds(left_queue_ns - task.submitted_ns);
  if (task.detail && task.detail->output[1]) {
    report->stderr_tail = text::CleanUtf8(task.detail->output[1]->Tail(kStderrTailBytes));
  }
  const std::string noted = std::move(report->detail);
  report->detail = Sentence(task, cause, *report, hint.empty() ? noted : hint);
}

ExitReport ReportSuccess(const TaskRecord& task) {
  ExitReport report;
  CompleteReport(task, EndCause::kCompleted, {}, &report);
  return report;
}

ExitReport ReportWorkerExit(std::string_view pool, const pool::Worker& worker,
                            const pool::WorkerExit& exit, TaskId task) {
  ExitReport report;
  NoteExit(exit, &report);
  report.worker_index = worker.index();
  report.worker_generation = worker.generation();
  report.pid = worker.pid();
  report.cpu_time = exit.cpu_time;
  switch (exit.reason) {
    case pool::ExitReason::kOutOfMemory:
      report.cause = EndCause::kOutOfMemory;
      break;
    case pool::ExitReason::kProtocolViolation:
      report.cause = EndCause::kProtocolViolation;
      break;
    case pool::ExitReason::kCrashed:
    case pool::ExitReason::kStartFailed:
      report.cause = EndCause::kWorkerDied;
      break;
    default:
      report.cause = EndCause::kNone;
  }
  report.detail = absl::StrCat(
      WorkerName(pool, report.worker_index, report.worker_generation, report.pid), " ",
      StatusWords(exit.wait_status), task != 0 ? absl::StrCat(" while it ran task ", task) : "",
      Because(exit.detail));
  return report;
}

}  // namespace prefork::engine
