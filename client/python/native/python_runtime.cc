// Python in a zygote and its workers.
//
//   zygote (C++)            worker loop (C++)                        runner.py
//   fork, lock held  --->   start(index)                      --->   streams, initializer
//                           claims a task
//                           run(function, type, payload, ...) --->   imports, unpickles, calls,
//                           value <--- parts, gathered once   <---   pickles
//                           publishes, sleeps: lock free
//
// The interpreter lock is held while Python runs, and given back while the process sleeps in the
// worker loop, so that threads which a task has left behind go on. It is held across fork, as the
// interpreter demands: BeforeFork takes it, both sides give it back.
//
// A payload in the lane is small and copied. One in a segment is read in place (segment_buffer.h):
// an array made of it points into shared memory. The segment is another task's when this one has
// ended, so whatever the task has kept then, in a global or in a cycle that is not collected yet,
// gets a private copy at the same address.
#include "python_runtime.h"

#include <nanobind/stl/string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <exception>
#include <optional>
#include <span>
#include <utility>

#include "absl/status/statusor.h"
#include "segment_buffer.h"
#include "server/worker/leftovers.h"

namespace prefork::python {
namespace {

namespace nb = nanobind;

std::optional<PythonRuntime::RunningTask> running;

// A borrowed buffer of a Python object.
class BufferView {
 public:
  explicit BufferView(nb::handle object) {
    if (PyObject_GetBuffer(object.ptr(), &view_, PyBUF_SIMPLE) != 0) nb::raise_python_error();
  }
  BufferView(const BufferView&) = delete;
  BufferView& operator=(const BufferView&) = delete;
  ~BufferView() { PyBuffer_Release(&view_); }
  std::string_view bytes() const {
    return {static_cast<const char*>(view_.buf), static_cast<size_t>(view_.len)};
  }

 private:
  Py_buffer view_;
};

// Writes the parts one after the other where the value travels from.
absl::Status GatherValue(const nb::sequence& parts, worker::TaskContext& context,
                         worker::TaskEnd& end) {
  size_t size_bytes = 0;
  for (nb::handle part : parts) size_bytes += BufferView(part).bytes().size();
  const absl::StatusOr<std::span<char>> room = context.AllocateValue(size_bytes);
  if (!room.ok()) return room.status();
  char* place = room->data();
  for (nb::handle part : parts) {
    const BufferView view(part);
    if (view.bytes().empty()) continue;
    std::memcpy(place, view.bytes().data(), view.bytes().size());
    place += view.bytes().size();
  }
  end.value_allocated = true;
  return absl::OkStatus();
}

// The value that `run` has returned.
absl::Status TakeValue(const nb::tuple& ended, worker::TaskContext& context, worker::TaskEnd& end) {
  absl::Status gathered = GatherValue(nb::cast<nb::sequence>(ended[2]), context, end);
  end.content_type = gathered.ok() ? nb::cast<std::string>(ended[1]) : "";
  return gathered;
}

void Fail(worker::TaskEnd& end, std::string error) {
  end.outcome = shm::TaskOutcome::kFailed;
  end.error = std::move(error);
}

// Something will read the payload when the task has ended.
void KeepPayload(const worker::TaskView& task, nb::handle payload, worker::TaskContext& context) {
  const absl::StatusOr<std::span<char>> kept = context.KeepPayload(task.payload_segment);
  if (kept.ok()) {
    nb::cast<SegmentBuffer*>(payload)->Own(*kept);
    return;
  }
  // To go on would let it read another task's bytes.
  std::fprintf(stderr, "prefork-worker: the task keeps its argument, and there is no memory: %s\n",
               std::string(kept.status().message()).c_str());
  worker::EndWorker(1);
}

}  // namespace

const PythonRuntime::RunningTask* PythonRuntime::running_task() {
  return running.has_value() ? &*running : nullptr;
}

void PythonRuntime::NoteOutput() {
  if (running.has_value()) running->end->wrote_output = true;
}

void PythonRuntime::ForgetTask() { running.reset(); }

void PythonRuntime::BeforeFork() {
  fork_lock_ = PyGILState_Ensure();
  PyOS_BeforeFork();
}

void PythonRuntime::AfterForkInZygote() {
  PyOS_AfterFork_Parent();
  PyGILState_Release(fork_lock_);
}

void PythonRuntime::AfterForkInWorker() {
  PyOS_AfterFork_Child();
  PyGILState_Release(fork_lock_);
}

absl::Status PythonRuntime::StartWorker(uint32_t worker_index) {
  const nb::gil_scoped_acquire lock;
  try {
    callbacks_.start(worker_index);
  } catch (const std::exception& error) {
    return absl::FailedPreconditionError(error.what());
  }
  return absl::OkStatus();
}

void PythonRuntime::OnZygoteNews() {
  const nb::gil_scoped_acquire lock;
  try {
    callbacks_.news();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "prefork-worker: %s\n", error.what());
  }
}

void PythonRuntime::Run(const worker::TaskView& task, worker::TaskContext& context,
                        worker::TaskEnd& end) {
  const nb::gil_scoped_acquire lock;
  running = RunningTask{&task, &context, &end};
  try {
    if (task.payload_segment == 0) {
      Call(task, nb::bytes(task.payload.data(), task.payload.size()), context, end);
    } else {
      const nb::object payload =
          nb::cast(new SegmentBuffer(task.payload), nb::rv_policy::take_ownership);
      Call(task, payload, context, end);
      if (Py_REFCNT(payload.ptr()) > 1) KeepPayload(task, payload, context);
    }
  } catch (const std::exception& error) {  // Python's and nanobind's
    Fail(end, error.what());
  }
  // A process that the task forked has come back from the function, and would go on as a second
  // worker on this lane.
  if (!running.has_value()) _exit(end.outcome == shm::TaskOutcome::kSucceeded ? 0 : 1);
  running.reset();
  rested_ = false;
}

void PythonRuntime::Call(const worker::TaskView& task, nb::handle payload,
                         worker::TaskContext& context, worker::TaskEnd& end) {
  const bool dedicated = (task.flags & shm::kTaskDedicated) != 0;
  const nb::tuple ended = nb::cast<nb::tuple>(callbacks_.run(
      nb::str(task.function.data(), task.function.size()),
      nb::str(task.content_type.data(), task.content_type.size()), payload, dedicated, rested_));
  if (!ended[0].is_none()) Fail(end, nb::cast<std::string>(ended[0]));
  if (dedicated && !ended[3].is_none()) {
    end.outcome = shm::TaskOutcome::kExited;
    end.wait_status = W_EXITCODE(nb::cast<int>(ended[3]), 0);
    return;
  }
  const absl::Status gathered = TakeValue(ended, context, end);
  if (gathered.ok() || end.outcome != shm::TaskOutcome::kSucceeded) return;
  const nb::tuple failed = nb::cast<nb::tuple>(
      callbacks_.no_memory(nb::str(gathered.message().data(), gathered.message().size()),
                           nb::str(task.content_type.data(), task.content_type.size())));
  Fail(end, nb::cast<std::string>(failed[0]));
  (void)TakeValue(failed, context, end);  // without it there is the text
}

}  // namespace prefork::python
