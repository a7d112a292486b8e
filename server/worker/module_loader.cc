#include "server/worker/module_loader.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/os/process_stats.h"

namespace prefork::worker {
namespace {

constexpr size_t kMaxNameBytes = 255;

int CountThreads() {
  const absl::StatusOr<os::ProcessStats> stats = os::ReadProcessStats(getpid());
  return stats.ok() ? stats->threads : 1;
}

// What std::terminate has to know while a module is being loaded; a process loads one at a time.
struct Loading {
  const std::string* path;
  const LoadAbortReporter* on_abort;
};
Loading loading;

std::string DescribeCurrentException() {
  const std::exception_ptr exception = std::current_exception();
  if (exception == nullptr) return "std::terminate was called";
  try {
    std::rethrow_exception(exception);
  } catch (const std::exception& known) {
    return known.what();
  } catch (...) {
    return "an exception that is no std::exception";
  }
}

[[noreturn]] void ReportAndAbort() {
  const std::string why = absl::StrCat(
      "module ", *loading.path, " failed in a static initialiser: ", DescribeCurrentException());
  std::fprintf(stderr, "prefork-worker: %s\n", why.c_str());
  if (*loading.on_abort) (*loading.on_abort)(why);
  std::abort();
}

absl::StatusOr<void*> Open(const std::string& path, const LoadAbortReporter& on_abort) {
  loading = {&path, &on_abort};
  const std::terminate_handler before = std::set_terminate(ReportAndAbort);
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  std::set_terminate(before);
  if (handle != nullptr) return handle;
  const char* why = dlerror();
  return absl::NotFoundError(
      absl::StrCat("cannot load module ", path, ": ", why != nullptr ? why : "no reason given"));
}

bool IsValidName(const char* name) {
  if (name == nullptr) return false;
  const std::string_view text(name);
  if (text.empty() || text.size() > kMaxNameBytes) return false;
  for (const char c : text) {
    if (c <= ' ' || c > '~') return false;
  }
  return true;
}

absl::Status CheckFunction(const std::string& path, size_t place,
                           const prefork_function_v1* function) {
  const auto malformed = [&](absl::string_view what) {
    return absl::InvalidArgumentError(
        absl::StrCat("module ", path, ": function ", place, " of its table ", what));
  };
  if (function == nullptr) return malformed("is a null pointer");
  if (function->struct_bytes < sizeof(prefork_function_v1)) {
    return malformed("is too short; rebuild the module with this release's <prefork/native.h>");
  }
  if (!IsValidName(function->name)) {
    return malformed("has no valid name (1 to 255 printable ASCII characters without spaces)");
  }
  if (function->run == nullptr) return malformed("has no code");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<LoadedModule> LoadModule(const std::string& path,
                                        const LoadAbortReporter& on_abort) {
  if (path.empty() || path[0] != '/') {
    return absl::InvalidArgumentError(
        absl::StrCat("module '", path, "' is no absolute path; give the library's full path"));
  }
  const int threads_before = CountThreads();
  absl::StatusOr<void*> handle = Open(path, on_abort);
  if (!handle.ok()) return handle.status();
  if (CountThreads() > threads_before) {
    return absl::FailedPreconditionError(
        absl::StrCat("module ", path, " started a thread while it was loaded, so workers can't be ",
                     "forked; start threads in its functions instead"));
  }
  void* symbol = dlsym(*handle, PREFORK_MODULE_SYMBOL);
  if (symbol == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("module ", path, " is no prefork module: it exports no ",
                     PREFORK_MODULE_SYMBOL, " (does it include <prefork/native.h>?)"));
  }
  const prefork_module_table_v1* table =
      reinterpret_cast<prefork_module_v1_function>(symbol)();  // NOLINT: dlsym's way
  if (table == nullptr || table->struct_bytes < sizeof(prefork_module_table_v1) ||
      (table->function_count != 0 && table->functions == nullptr)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "module ", path,
        ": its function table is malformed; rebuild it with this release's <prefork/native.h>"));
  }
  if (table->function_count == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("module ", path, " offers no function; register one with PREFORK_FUNCTION"));
  }
  LoadedModule module{path, {}};
  for (size_t i = 0; i < table->function_count; ++i) {
    if (absl::Status status = CheckFunction(path, i, table->functions[i]); !status.ok()) {
      return status;
    }
    module.functions.push_back(table->functions[i]);
  }
  return module;
}

}  // namespace prefork::worker
