#include "server/worker/process_title.h"

#include <sys/prctl.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "common/os/proc_file.h"

namespace prefork::worker {
namespace {

// Fields arg_start and arg_end of proc(5), counted from the one behind the name.
constexpr size_t kArgumentsBegin = 48 - 3;
constexpr size_t kArgumentsEnd = 49 - 3;

char* arguments_begin = nullptr;
size_t arguments_bytes = 0;

}  // namespace

void FindTitle() {
  const absl::StatusOr<std::string> stat = os::ReadSmallFile("/proc/self/stat");
  if (!stat.ok()) return;
  // The name in the second field may hold anything, so fields are counted behind its end.
  const std::vector<absl::string_view> fields =
      absl::StrSplit(absl::string_view(*stat).substr(stat->rfind(')') + 1), ' ', absl::SkipEmpty());
  uintptr_t begin = 0;
  uintptr_t end = 0;
  if (fields.size() <= kArgumentsEnd || !absl::SimpleAtoi(fields[kArgumentsBegin], &begin) ||
      !absl::SimpleAtoi(fields[kArgumentsEnd], &end) || end <= begin) {
    return;
  }
  // NOLINTNEXTLINE(performance-no-int-to-ptr): the kernel tells the address as text
  arguments_begin = reinterpret_cast<char*>(begin);
  arguments_bytes = end - begin;
}

void SetProcessTitle(std::string_view title, const char* name) {
  prctl(PR_SET_NAME, name);
  if (arguments_bytes == 0) return;
  // The last byte stays 0: another value there tells the kernel that the title goes on beyond.
  const size_t length = std::min(title.size(), arguments_bytes - 1);
  std::memcpy(arguments_begin, title.data(), length);
  std::memset(arguments_begin + length, 0, arguments_bytes - length);
}

}  // namespace prefork::worker
