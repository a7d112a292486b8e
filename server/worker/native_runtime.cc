#include "server/worker/native_runtime.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace prefork::worker {
namespace {

// How many functions an error message lists.
constexpr size_t kMaxListed = 20;

// One call of a module's function: what its callbacks need.
struct Call {
  TaskContext* context;
  TaskEnd* end;
  std::string callback_error;  // what the last failed callback returned
};

Call& CallOf(prefork_task_v1* task) { return *static_cast<Call*>(task->worker); }
std::string_view View(prefork_bytes bytes) { return {bytes.data, bytes.size}; }
prefork_bytes Bytes(std::string_view view) { return {view.data(), view.size()}; }

int OnCancelled(const prefork_task_v1* task) {
  return static_cast<const Call*>(task->worker)->context->Cancelled() ? 1 : 0;
}

void OnProgress(prefork_task_v1* task, double done, double total, prefork_bytes text) {
  CallOf(task).context->Progress(done, total, View(text));
}

const char* OnEmit(prefork_task_v1* task, prefork_bytes value, prefork_bytes content_type) {
  Call& call = CallOf(task);
  const absl::Status status = call.context->Emit(View(value), View(content_type));
  if (status.ok()) return nullptr;
  call.callback_error = std::string(status.message());
  return call.callback_error.c_str();
}

void OnSetValue(prefork_task_v1* task, prefork_bytes value, prefork_bytes content_type) {
  TaskEnd& end = *CallOf(task).end;
  end.value_allocated = false;
  end.value.assign(View(value));
  end.content_type.assign(View(content_type));
}

const char* OnAllocateValue(prefork_task_v1* task, size_t size, prefork_bytes content_type,
                            char** data) {
  Call& call = CallOf(task);
  absl::StatusOr<std::span<char>> room = call.context->AllocateValue(size);
  if (!room.ok()) {
    call.callback_error = std::string(room.status().message());
    return call.callback_error.c_str();
  }
  call.end->value_allocated = true;
  call.end->content_type.assign(View(content_type));
  *data = room->data();
  return nullptr;
}

void OnSetError(prefork_task_v1* task, prefork_bytes text) {
  CallOf(task).end->error.assign(View(text));
}

constexpr prefork_callbacks_v1 kCallbacks = {sizeof(prefork_callbacks_v1),
                                             OnCancelled,
                                             OnProgress,
                                             OnEmit,
                                             OnSetValue,
                                             OnAllocateValue,
                                             OnSetError};

shm::TaskOutcome OutcomeOf(prefork_outcome outcome, TaskEnd& end) {
  switch (outcome) {
    case PREFORK_SUCCEEDED:
      return shm::TaskOutcome::kSucceeded;
    case PREFORK_CANCELLED:
      return shm::TaskOutcome::kCancelled;
    case PREFORK_FAILED:
      if (end.error.empty()) end.error = "the function failed and gave no reason";
      return shm::TaskOutcome::kFailed;
  }
  end.error = absl::StrCat("the function returned ", static_cast<int>(outcome),
                           ", which is no prefork_outcome");
  return shm::TaskOutcome::kFailed;
}

}  // namespace

absl::StatusOr<std::unique_ptr<NativeRuntime>> NativeRuntime::Load(
    const std::vector<std::string>& module_paths, const LoadAbortReporter& on_abort) {
  std::unique_ptr<NativeRuntime> runtime(new NativeRuntime());
  for (const std::string& path : module_paths) {
    absl::StatusOr<LoadedModule> module = LoadModule(path, on_abort);
    if (!module.ok()) return module.status();
    for (const prefork_function_v1* function : module->functions) {
      const auto [place, inserted] =
          runtime->by_name_.try_emplace(function->name, Entry{function, path});
      if (!inserted) {
        return absl::AlreadyExistsError(
            absl::StrCat("module ", path, " offers the function '", function->name, "', as does ",
                         place->second.module_path, "; names must be unique in a pool"));
      }
      runtime->functions_.push_back(
          {function->name, function->description != nullptr ? function->description : ""});
    }
  }
  return runtime;
}

const prefork_function_v1* NativeRuntime::Find(std::string_view name) {
  if (last_ != nullptr && name == last_->name) return last_;
  const auto place = by_name_.find(name);
  if (place == by_name_.end()) return nullptr;
  return last_ = place->second.function;
}

std::string NativeRuntime::DescribeMissing(std::string_view name) const {
  if (functions_.empty()) {
    return absl::StrCat("no function '", std::string(name), "': this pool has no modules");
  }
  std::string text = absl::StrCat("no function '", std::string(name), "' in this pool; it offers");
  for (size_t i = 0; i < functions_.size() && i < kMaxListed; ++i) {
    absl::StrAppend(&text, i == 0 ? " " : ", ", functions_[i].name);
  }
  if (functions_.size() > kMaxListed) {
    absl::StrAppend(&text, " and ", functions_.size() - kMaxListed, " more");
  }
  return text;
}

void NativeRuntime::Run(const TaskView& task, TaskContext& context, TaskEnd& end) {
  const prefork_function_v1* function = Find(task.function);
  if (function == nullptr) {
    end.outcome = shm::TaskOutcome::kFailed;
    end.error = DescribeMissing(task.function);
    return;
  }
  Call call{&context, &end, {}};
  prefork_task_v1 raw = {sizeof(prefork_task_v1),
                         &kCallbacks,
                         &call,
                         task.id,
                         task.attempt,
                         context.worker_index(),
                         Bytes(task.function),
                         Bytes(task.payload),
                         Bytes(task.content_type)};
  end.outcome = OutcomeOf(function->run(function, &raw), end);
  if (end.outcome != shm::TaskOutcome::kSucceeded) {  // what it began to write is no value
    end.value.clear();
    end.content_type.clear();
    end.value_allocated = false;
  }
}

}  // namespace prefork::worker
