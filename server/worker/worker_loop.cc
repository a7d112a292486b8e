// One task after the other.
//
//   WORKER_READY
//   +-> Next(claim)   from here on the task is ours; a death costs it
//   |     running_task = task, STARTED if wished
//   |     runtime runs it
//   |     measured: kill and reap what it left behind, read the clock of the CPU
//   |     flush, wait until the daemon has read its output (output_capture.cc)
//   |     publish FINISHED at once; wake the engine only if it sleeps
//   |     Release: the record's room goes back
//   +-- as long as there are records; then sleep on the lane's eventfd and the control socket
//
// What the engine sees when the worker dies:
//   before the claim        the record is ready: it runs elsewhere
//   claim .. publish        claimed, no FINISHED: this one task died with its worker
//   after publish           FINISHED is in the ring: the task has ended, whatever the claim says
//
// The payload is used in place: the record is released only after the result is published, and the
// engine does not touch what it has published. The worker checks lengths all the same, so that a
// daemon of another build ends in an error and not in a crash of user code.
#include "server/worker/worker_loop.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "common/os/clock.h"
#include "server/worker/leftovers.h"
#include "server/worker/worker_signals.h"

namespace prefork::worker {
namespace {

[[noreturn]] void EndBroken(const char* what, const std::string& why) {
  std::fprintf(stderr, "prefork-worker: %s: %s\n", what, why.c_str());
  EndWorker(1);
}

// Ends the process as the task's program ended.
[[noreturn]] void EndLike(const TaskEnd& end) {
  if (end.outcome == shm::TaskOutcome::kExited && WIFSIGNALED(end.wait_status)) {
    std::fflush(nullptr);
    KillLeftovers();
    const rlimit no_core = {0, 0};  // the program has left its own
    setrlimit(RLIMIT_CORE, &no_core);
    const int signal = WTERMSIG(end.wait_status);
    ::signal(signal, SIG_DFL);
    raise(signal);
    _exit(128 + signal);
  }
  if (WIFEXITED(end.wait_status) && WEXITSTATUS(end.wait_status) != 0) {
    EndWorker(WEXITSTATUS(end.wait_status));
  }
  const bool succeeded =
      end.outcome == shm::TaskOutcome::kSucceeded || end.outcome == shm::TaskOutcome::kExited;
  EndWorker(succeeded ? 0 : 1);
}

// Takes parts off a record's body. `whole` turns false when one is missing.
struct BodyReader {
  std::string_view rest;
  bool whole = true;
  std::string_view Take(uint64_t size) {
    whole = whole && size <= rest.size();
    if (!whole) return {};
    const std::string_view part = rest.substr(0, size);
    rest.remove_prefix(size);
    return part;
  }
};

}  // namespace

WorkerLoop::WorkerLoop(shm::LaneGuest* lane, shm::LaneSleeper* sleeper, DaemonLink* link,
                       OutputCapture output, const Options& options)
    : lane_(lane),
      sleeper_(sleeper),
      link_(link),
      output_(std::move(output)),
      options_(options),
      publisher_(lane, sleeper, link, options.observer),
      context_(lane, &publisher_, link) {}

void WorkerLoop::Reach(WorkerStep step, uint64_t task_id) {
  if (options_.observer != nullptr)
    options_.observer->OnWorkerStep(step, {lane_, link_->fd(), task_id});
}

void WorkerLoop::Run() {
  Reach(WorkerStep::kBeforeReady, 0);
  if (const absl::Status status = link_->SayReady({lane_->worker_index(), lane_->generation()});
      !status.ok()) {
    EndBroken("can't say WORKER_READY", std::string(status.message()));
  }
  for (;;) {
    if (options_.observer != nullptr && lane_->down().HasRecords())
      Reach(WorkerStep::kBeforeClaim, 0);
    const absl::StatusOr<std::optional<shm::QueueConsumer::Record>> record =
        lane_->down().Next(/*claim=*/true);
    if (!record.ok()) EndBroken("lane", std::string(record.status().message()));
    if (!record->has_value()) {
      Idle();
      continue;
    }
    SetActivity(Activity::kTask);
    RunRecord(**record);
    SetActivity(Activity::kBetween);
    lane_->status().progress.store(++progress_, std::memory_order_relaxed);
  }
}

void WorkerLoop::Idle() {
  options_.runtime->BeforeSleep();
  output_.BeforeSleep();
  SetActivity(Activity::kIdle);
  // No spinning: a worker has no core of its own, and the engine batches what comes fast.
  const shm::LaneSleeper::Wakeup wakeup = sleeper_->WaitForWork(/*spin_ns=*/0, /*timeout_ns=*/-1);
  if (wakeup.control) link_->Serve();
  SetActivity(Activity::kBetween);
}

void WorkerLoop::RunRecord(const shm::QueueConsumer::Record& record) {
  shm::TaskRecord header;
  if (record.kind != shm::RecordKind::kTask || record.body.size() < sizeof(header)) {
    EndBroken("lane", "a record that is no task");
  }
  std::memcpy(&header, record.body.data(), sizeof(header));
  BodyReader body{{reinterpret_cast<const char*>(record.body.data()) + sizeof(header),
                   record.body.size() - sizeof(header)}};
  TaskView task;
  task.id = header.task_id;
  task.attempt = header.attempt;
  task.flags = header.flags;
  task.function = body.Take(header.function_bytes);
  task.content_type = body.Take(header.content_type_bytes);
  if (header.segment_id == 0) task.payload = body.Take(header.payload_bytes);
  if (!body.whole || header.task_id == 0) EndBroken("lane", "a task record that is cut short");
  Reach(WorkerStep::kClaimed, task.id);
  RunTask(header, task);
  lane_->down().Release();
  Reach(WorkerStep::kReleased, task.id);
  if (options_.dedicated || (task.flags & shm::kTaskDedicated) != 0) EndLike(end_);
}

void WorkerLoop::RunTask(const shm::TaskRecord& record, const TaskView& view) {
  const os::Clock* const clock = os::Clock::System();
  const bool measured = (view.flags & shm::kTaskMeasure) != 0;
  const bool clears_tree = measured || options_.runtime->runs_programs();
  TaskView task = view;
  end_.Clear();
  context_.Begin(task.id);
  output_.BeginTask(task.id, task.function, clears_tree);
  const int64_t started_ns = clock->MonotonicNs();
  if ((task.flags & shm::kTaskNotifyStart) != 0) publisher_.Started(task.id, started_ns);
  if (measured) meter_.Begin();

  absl::Status payload_status;
  if (record.segment_id != 0) {
    const absl::StatusOr<std::span<const char>> payload =
        link_->TaskSegment(record.segment_id, record.payload_offset, record.payload_bytes);
    payload_status = payload.status();
    if (payload.ok()) task.payload = {payload->data(), payload->size()};
    task.payload_segment = record.segment_id;
  }
  if (payload_status.ok()) {
    options_.runtime->Run(task, context_, end_);
  } else {
    end_.outcome = shm::TaskOutcome::kFailed;
    end_.error = "payload: " + std::string(payload_status.message());
  }

  if (clears_tree) KillLeftovers();
  if (measured) {
    const TaskMeter::Cost cost = meter_.End();
    // The CPU time of children counts once they are reaped, so it is complete only now.
    end_.cpu_ns = cost.cpu_ns;
    if (end_.peak_rss_bytes == 0) end_.peak_rss_bytes = cost.peak_rss_bytes;
  }
  const int64_t finished_ns = clock->MonotonicNs();
  output_.EndTask(finished_ns, end_.wrote_output);
  Finish(record, started_ns, finished_ns);
}

void WorkerLoop::Finish(const shm::TaskRecord& record, int64_t started_ns, int64_t finished_ns) {
  // A failed task may have a value, too: its exception, say.
  const bool has_value =
      end_.outcome == shm::TaskOutcome::kSucceeded || end_.outcome == shm::TaskOutcome::kFailed;
  ResultPublisher::Value value;
  if (has_value) {
    absl::Status status = ResultPublisher::CheckContentType(end_.content_type);
    if (status.ok() && end_.value_allocated) {
      value = context_.allocated();
    } else if (status.ok()) {
      absl::StatusOr<ResultPublisher::Value> placed = publisher_.Place(end_.value);
      if (placed.ok()) value = *placed;
      status = placed.status();
    }
    if (!status.ok()) {
      if (end_.outcome == shm::TaskOutcome::kSucceeded) end_.error = std::string(status.message());
      end_.outcome = shm::TaskOutcome::kFailed;
      end_.content_type.clear();
    }
  }
  shm::FinishedRecord finished = {};
  finished.task_id = record.task_id;
  finished.started_ns = started_ns;
  finished.finished_ns = finished_ns;
  finished.cpu_ns = end_.cpu_ns;
  finished.peak_rss_bytes = end_.peak_rss_bytes;
  finished.outcome = static_cast<uint32_t>(end_.outcome);
  finished.wait_status = end_.wait_status;
  publisher_.Finished(finished, end_.error, has_value ? end_.content_type : std::string_view(),
                      value);
  Reach(WorkerStep::kResultAnnounced, record.task_id);
}

}  // namespace prefork::worker
