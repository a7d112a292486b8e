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
// A payload is a memoryview into shared memory, read-only, valid until run returns.
#include "python_runtime.h"

#include <nanobind/stl/string.h>

#include <cstring>
#include <exception>
#include <optional>
#include <span>
#include <utility>

#include "absl/status/statusor.h"

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
absl::Status GatherValue(nb::sequence parts, worker::TaskContext& context, worker::TaskEnd& end) {
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

void Fail(worker::TaskEnd& end, std::string error) {
  end.outcome = shm::TaskOutcome::kFailed;
  end.error = std::move(error);
}

}  // namespace

const PythonRuntime::RunningTask* PythonRuntime::running_task() {
  return running.has_value() ? &*running : nullptr;
}

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

void PythonRuntime::Run(const worker::TaskView& task, worker::TaskContext& context,
                        worker::TaskEnd& end) {
  const nb::gil_scoped_acquire lock;
  running = RunningTask{&task, &context};
  try {
    Call(task, context, end);
  } catch (const std::exception& error) {  // Python's and nanobind's
    Fail(end, error.what());
  }
  running.reset();
}

void PythonRuntime::Call(const worker::TaskView& task, worker::TaskContext& context,
                         worker::TaskEnd& end) {
  const nb::object payload =
      nb::steal(PyMemoryView_FromMemory(const_cast<char*>(task.payload.data()),
                                        static_cast<Py_ssize_t>(task.payload.size()), PyBUF_READ));
  const bool dedicated = (task.flags & shm::kTaskDedicated) != 0;
  const nb::tuple ended = nb::cast<nb::tuple>(callbacks_.run(
      nb::str(task.function.data(), task.function.size()),
      nb::str(task.content_type.data(), task.content_type.size()), payload, dedicated));
  if (!ended[0].is_none()) Fail(end, nb::cast<std::string>(ended[0]));
  end.content_type = nb::cast<std::string>(ended[1]);
  end.wait_status = nb::cast<int>(ended[3]) << 8;
  const absl::Status gathered = GatherValue(nb::cast<nb::sequence>(ended[2]), context, end);
  if (!gathered.ok()) Fail(end, std::string(gathered.message()));
}

}  // namespace prefork::python
