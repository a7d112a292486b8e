#ifndef PREFORK_NATIVE_H_
#define PREFORK_NATIVE_H_

// Native modules for prefork: C++ functions that warm worker processes run as tasks. Header-only;
// needs C++17 and nothing else. A whole module:
//
//   #include <prefork/native.h>
//
//   prefork::native::Result Shout(prefork::native::Task& task) {
//     std::string text(task.payload());
//     for (char& c : text) c = std::toupper(static_cast<unsigned char>(c));
//     if (text.empty()) return prefork::native::Result::Error("nothing to shout");
//     return prefork::native::Result::Value(std::move(text), "text/plain");
//   }
//   PREFORK_FUNCTION("shout", "the payload in upper case", Shout)
//
// Build it as a shared library (`g++ -std=c++17 -shared -fPIC shout.cc -o shout.so`, or in CMake
// `find_package(prefork)`, `add_library(shout MODULE shout.cc)`, `target_link_libraries(shout
// PRIVATE prefork::native)`) and name its absolute path in the pool's `modules`.
//
// How it runs
//   * The pool's zygote loads the module once; workers are forked from it. What static
//     initialisers, or PREFORK_FUNCTION's neighbours at namespace scope, prepare (tables, models)
//     is shared by all workers without a copy until it is written. Do not start threads while
//     loading: a zygote with threads is refused. Functions may start threads; join them before
//     returning.
//   * A worker runs one task at a time. Global state lives on from task to task, in that worker
//     only. It starts with an empty signal mask and default signal handlers.
//   * An exception that escapes becomes the task's error, with its what(). exit(), abort(), a
//     segmentation fault and the like end the worker: the task is reported as crashed, with exit
//     code or signal and the end of stderr, and no other task is harmed.
//   * Cancelling, or a timeout, is visible in Task::cancelled() at once. The daemon also sends
//     SIGTERM, and SIGKILL after the pool's grace, to the task's processes; so a function that
//     never looks is stopped too, at the price of its worker.
//   * stdout and stderr belong to the task that runs. Output is written out when a line ends
//     (stdout) or at once (stderr), and all of it is flushed before the task ends. Exactness has a
//     price of two system calls a task, so a function that has run 256 times in a worker without
//     writing anything, in tasks that are not measured, is trusted to stay silent: should it write
//     after all, that first output (no later one) may be credited to a task of the same worker
//     within the same millisecond. What a task's leftover background process prints later belongs
//     to whatever runs then.
//   * A measured task (every one but the tiniest; the daemon decides) leaves nothing behind: child
//     processes that it has not waited for are killed when it ends.

#include <prefork/native_abi.h>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace prefork::native {

// The task a function is called for. Views are valid until the function returns. All methods but
// cancelled() belong to the thread that called the function.
class Task {
 public:
  explicit Task(prefork_task_v1* task) : task_(task) {}
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;

  uint64_t id() const { return task_->id; }
  uint32_t attempt() const { return task_->attempt; }  // 1 for the first, more after retries
  uint32_t worker_index() const { return task_->worker_index; }
  std::string_view function() const { return View(task_->function); }
  std::string_view content_type() const { return View(task_->content_type); }
  // In shared memory and read-only by contract; aligned to 8 bytes only when it came in a segment.
  std::string_view payload() const { return View(task_->payload); }

  // Is the task asked to stop? One load; any thread. Then clean up and return Result::Cancelled().
  bool cancelled() const { return task_->callbacks->cancelled(task_) != 0; }

  // Reports that `done` of `total` is done (total 0: unknown) and what is going on.
  void Progress(double done, double total = 0, std::string_view text = {}) {
    task_->callbacks->progress(task_, done, total, Bytes(text));
  }

  // Sends one partial result of at most 3 MiB to the client. False when it is larger, or there was
  // no room for it; then `error` (if given) says why.
  bool Emit(std::string_view value, std::string_view content_type = {},
            std::string* error = nullptr) {
    return Succeeded(task_->callbacks->emit(task_, Bytes(value), Bytes(content_type)), error);
  }

  // Room for the task's value, to be filled in place and finished with Result::Allocated(). Spares
  // a large value (an array, an image) every copy. nullptr when there is no room; then `error` (if
  // given) says why. Once a task.
  char* AllocateValue(size_t bytes, std::string_view content_type = {},
                      std::string* error = nullptr) {
    char* data = nullptr;
    const char* why = task_->callbacks->allocate_value(task_, bytes, Bytes(content_type), &data);
    return Succeeded(why, error) ? data : nullptr;
  }

 private:
  static std::string_view View(prefork_bytes bytes) { return {bytes.data, bytes.size}; }
  static prefork_bytes Bytes(std::string_view view) { return {view.data(), view.size()}; }
  static bool Succeeded(const char* why, std::string* error) {
    if (why != nullptr && error != nullptr) *error = why;
    return why == nullptr;
  }

  prefork_task_v1* task_;
};

// How a function ended.
class Result {
 public:
  // Success with these bytes.
  static Result Value(std::string bytes, std::string content_type = {}) {
    return Result(PREFORK_SUCCEEDED, std::move(bytes), std::move(content_type), true);
  }
  // Success without a value; with PREFORK_PROTO_FUNCTION, success with the response.
  static Result Ok() { return Result(PREFORK_SUCCEEDED, {}, {}, true); }
  // Success with what Task::AllocateValue made room for.
  static Result Allocated() { return Result(PREFORK_SUCCEEDED, {}, {}, false); }
  // The task has failed; the text is for people.
  static Result Error(std::string text) {
    return Result(PREFORK_FAILED, std::move(text), {}, false);
  }
  // The task noticed that it is cancelled.
  static Result Cancelled() { return Result(PREFORK_CANCELLED, {}, {}, false); }

  prefork_outcome outcome() const { return outcome_; }

  // Hands the result to the worker. For the macros below.
  prefork_outcome Deliver(prefork_task_v1* task) const {
    if (outcome_ == PREFORK_FAILED) {
      task->callbacks->set_error(task, {bytes_.data(), bytes_.size()});
    } else if (has_value_ && !bytes_.empty()) {
      task->callbacks->set_value(task, {bytes_.data(), bytes_.size()},
                                 {content_type_.data(), content_type_.size()});
    }
    return outcome_;
  }

 private:
  Result(prefork_outcome outcome, std::string bytes, std::string content_type, bool has_value)
      : outcome_(outcome),
        bytes_(std::move(bytes)),
        content_type_(std::move(content_type)),
        has_value_(has_value) {}

  prefork_outcome outcome_;
  std::string bytes_;  // the value, or the error's text
  std::string content_type_;
  bool has_value_;
};

// Behind the macros. Hidden symbols: each module has its own registry, also when several are
// loaded into one process.
namespace internal {

#define PREFORK_INTERNAL_HIDDEN __attribute__((visibility("hidden")))

PREFORK_INTERNAL_HIDDEN inline std::vector<const prefork_function_v1*>& Registry() {
  static auto* registry = new std::vector<const prefork_function_v1*>();
  return *registry;
}

struct PREFORK_INTERNAL_HIDDEN Registration {
  explicit Registration(const prefork_function_v1* function) { Registry().push_back(function); }
};

// Calls `body`, turning what escapes into the task's error.
template <typename Body>
PREFORK_INTERNAL_HIDDEN prefork_outcome Guard(prefork_task_v1* raw, Body body) {
#if defined(__cpp_exceptions)
  try {
    Task task(raw);
    return body(task).Deliver(raw);
  } catch (const std::exception& exception) {
    return Result::Error(exception.what()).Deliver(raw);
  } catch (...) {
    return Result::Error("an exception that is no std::exception").Deliver(raw);
  }
#else
  Task task(raw);
  return body(task).Deliver(raw);
#endif
}

template <typename Request, typename Response, typename Function>
PREFORK_INTERNAL_HIDDEN Result CallWithMessages(Function function, Task& task) {
  Request request;
  const std::string_view payload = task.payload();
  if (payload.size() > static_cast<size_t>(INT32_MAX) ||
      !request.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) {
    return Result::Error("the payload (" + std::to_string(payload.size()) +
                         " bytes) is no valid message of type " + request.GetTypeName());
  }
  Response response;
  Result result = function(static_cast<const Request&>(request), response, task);
  if (result.outcome() != PREFORK_SUCCEEDED) return result;
  std::string bytes;
  if (!response.SerializeToString(&bytes)) {
    return Result::Error("the response of type " + response.GetTypeName() +
                         " lacks a required field or is too large");
  }
  return Result::Value(std::move(bytes), "application/x-protobuf");
}

PREFORK_INTERNAL_HIDDEN inline const prefork_module_table_v1* ModuleTable() {
  static prefork_module_table_v1 table;
  table = {sizeof(prefork_module_table_v1), Registry().size(), Registry().data()};
  return &table;
}

#define PREFORK_INTERNAL_CONCAT2(a, b) a##b
#define PREFORK_INTERNAL_CONCAT(a, b) PREFORK_INTERNAL_CONCAT2(a, b)
#define PREFORK_INTERNAL_REGISTER(name, description, tag, ...)                                    \
  namespace {                                                                                     \
  const prefork_function_v1 PREFORK_INTERNAL_CONCAT(prefork_function_, tag) = {                   \
      sizeof(prefork_function_v1), name, description,                                             \
      [](const prefork_function_v1*, prefork_task_v1* prefork_raw) {                              \
        return ::prefork::native::internal::Guard(                                                \
            prefork_raw, [](::prefork::native::Task& prefork_task) -> ::prefork::native::Result { \
              return __VA_ARGS__;                                                                 \
            });                                                                                   \
      },                                                                                          \
      nullptr};                                                                                   \
  const ::prefork::native::internal::Registration PREFORK_INTERNAL_CONCAT(prefork_registration_,  \
                                                                          tag){                   \
      &PREFORK_INTERNAL_CONCAT(prefork_function_, tag)};                                          \
  }

}  // namespace internal
}  // namespace prefork::native

// Offers `function`, callable as Result(Task&), under `name` (a string literal). At namespace
// scope of any source file of the module.
#define PREFORK_FUNCTION(name, description, function) \
  PREFORK_INTERNAL_REGISTER(name, description, __COUNTER__, (function)(prefork_task))

// Offers a function of Protobuf messages, callable as
// Result(const Request&, Response&, Task&): it fills the response and returns Result::Ok(), or
// Result::Error. The payload is parsed as a Request; what is no Request is the task's error. Any
// class with ParseFromArray, SerializeToString and GetTypeName will do.
#define PREFORK_PROTO_FUNCTION(name, description, Request, Response, function) \
  PREFORK_INTERNAL_REGISTER(                                                   \
      name, description, __COUNTER__,                                          \
      ::prefork::native::internal::CallWithMessages<Request, Response>((function), prefork_task))

// The module's one exported symbol.
extern "C" __attribute__((visibility("default"), used)) inline const prefork_module_table_v1*
prefork_module_v1() {
  return prefork::native::internal::ModuleTable();
}

#endif  // PREFORK_NATIVE_H_
