// prefork._worker: the zygote and worker processes of the runtime python.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>

#include <cstdio>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/zygote/control_socket.h"
#include "common/zygote/message.h"
#include "python_runtime.h"
#include "segment_buffer.h"
#include "server/worker/process_title.h"
#include "server/worker/zygote.h"
#include "server/worker/zygote_socket.h"

namespace prefork::python {
namespace {

namespace nb = nanobind;

void Complain(absl::string_view why) {
  std::fprintf(stderr, "prefork-worker: %.*s\n", static_cast<int>(why.size()), why.data());
}

int Serve(std::string pool, const nb::object& load, Callbacks callbacks) {
  absl::StatusOr<zygote::ControlSocket> daemon = worker::TakeDaemonSocket();
  if (!daemon.ok()) {
    Complain(daemon.status().message());
    return 2;
  }
  worker::FindTitle();
  try {
    load();
  } catch (nb::python_error& error) {
    Complain(error.what());
    (void)daemon->Send(zygote::Failed{error.what()});  // stderr has it as well
    return 1;
  }
  PythonRuntime runtime(std::move(callbacks));
  const nb::gil_scoped_release free_lock;
  absl::StatusOr<worker::Zygote> zygote =
      worker::Zygote::Create(*std::move(daemon), &runtime, {std::move(pool), nullptr});
  if (!zygote.ok()) {
    Complain(zygote.status().message());
    return 1;
  }
  return zygote->Run();
}

const PythonRuntime::RunningTask& Current() {
  const PythonRuntime::RunningTask* const task = PythonRuntime::running_task();
  if (task == nullptr) throw nb::value_error("no task is running in this process");
  return *task;
}

void Emit(const nb::bytes& value, std::string_view content_type) {
  const absl::Status status = Current().context->Emit({value.c_str(), value.size()}, content_type);
  if (absl::IsInvalidArgument(status)) throw nb::value_error(std::string(status.message()).c_str());
  if (!status.ok()) {
    PyErr_SetString(PyExc_MemoryError, std::string(status.message()).c_str());
    nb::raise_python_error();
  }
}

}  // namespace
}  // namespace prefork::python

NB_MODULE(_worker, module) {
  using namespace prefork::python;  // NOLINT(google-build-using-namespace): the module's table
  module.doc() = "The zygote and worker processes of the runtime python.";
  SegmentBuffer::Bind(module);
  module.def(
      "serve",
      [](std::string pool, const nb::object& load, nb::object start, nb::object run,
         nb::object no_memory, nb::object news, int news_fd) {
        return Serve(
            std::move(pool), load,
            {std::move(start), std::move(run), std::move(no_memory), std::move(news), news_fd});
      },
      nb::arg("pool"), nb::arg("load"), nb::arg("start"), nb::arg("run"), nb::arg("no_memory"),
      nb::arg("news"), nb::arg("news_fd"),
      "Serves the daemon that started this process as a zygote; returns its exit code.");
  module.def("note_output", &PythonRuntime::NoteOutput,
             "The running task, if any, has written to stdout or stderr.");
  module.def("forget_task", &PythonRuntime::ForgetTask, "Makes this process no worker.");
  module.def(
      "running", [] { return PythonRuntime::running_task() != nullptr; },
      "Does this process run a task now?");
  module.def(
      "task_id", [] { return Current().view->id; }, "ID of the running task.");
  module.def(
      "attempt", [] { return Current().view->attempt; }, "1 for the first.");
  module.def(
      "worker_index", [] { return Current().context->worker_index(); },
      "Slot of this worker in its pool.");
  module.def(
      "cancelled", [] { return Current().context->Cancelled(); },
      "Is the running task asked to stop?");
  module.def(
      "progress",
      [](double done, double total, std::string_view text) {
        Current().context->Progress(done, total, text);
      },
      nb::arg("done"), nb::arg("total"), nb::arg("text"), "Reports progress of the running task.");
  module.def("emit", &Emit, nb::arg("value"), nb::arg("content_type"),
             "Sends a partial result of the running task.");
}
