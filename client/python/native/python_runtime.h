#ifndef PREFORK_CLIENT_PYTHON_NATIVE_PYTHON_RUNTIME_H_
#define PREFORK_CLIENT_PYTHON_NATIVE_PYTHON_RUNTIME_H_

#include <nanobind/nanobind.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "server/worker/runtime.h"

namespace prefork::python {

// What the package's Python code does for the runtime.
struct Callbacks {
  // start(worker_index) -> None, once in each worker. What it raises ends the worker.
  nanobind::object start;
  // run(function, content_type, payload, dedicated, rested) -> (error, content_type, parts,
  // exit_code). `payload` is a read-only buffer; `rested`: the worker has slept since the last task.
  // `error` is None for a success; the value is the concatenation of the buffers `parts`. An
  // `exit_code` that is not None ends a dedicated process with it. Must not raise.
  nanobind::object run;
  // no_memory(why, content_type of the call) -> as run, with a small value: that of `run` has no room.
  nanobind::object no_memory;
  // news() in the zygote when `news_fd` is readable.
  nanobind::object news;
  int news_fd = -1;
};

// Runs Python functions; the design note is in python_runtime.cc. The interpreter lock is free
// while no Python code runs.
class PythonRuntime : public worker::Runtime {
 public:
  explicit PythonRuntime(Callbacks callbacks) : callbacks_(std::move(callbacks)) {}

  const std::vector<worker::FunctionInfo>& functions() const override { return functions_; }
  void BeforeFork() override;
  void AfterForkInZygote() override;
  void AfterForkInWorker() override;
  absl::Status StartWorker(uint32_t worker_index) override;
  void Run(const worker::TaskView& task, worker::TaskContext& context,
           worker::TaskEnd& end) override;
  void BeforeSleep() override { rested_ = true; }
  int zygote_news_fd() const override { return callbacks_.news_fd; }
  void OnZygoteNews() override;
  bool runs_programs() const override { return false; }

  // The task that this process runs; null between tasks and outside of workers. Needs the
  // interpreter lock, which also keeps threads of a task from using it at the same time.
  struct RunningTask {
    const worker::TaskView* view;
    worker::TaskContext* context;
    worker::TaskEnd* end;
  };
  static const RunningTask* running_task();
  // The running task, if any, has written to stdout or stderr.
  static void NoteOutput();
  // In a process that a task has forked: it is no worker.
  static void ForgetTask();

 private:
  void Call(const worker::TaskView& task, nanobind::handle payload, worker::TaskContext& context,
            worker::TaskEnd& end);

  Callbacks callbacks_;
  std::vector<worker::FunctionInfo> functions_;  // none: a function is found when it is called
  PyGILState_STATE fork_lock_ = {};
  bool rested_ = true;
};

}  // namespace prefork::python

#endif  // PREFORK_CLIENT_PYTHON_NATIVE_PYTHON_RUNTIME_H_
