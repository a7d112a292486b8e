#include "server/worker/process_title.h"

#include <sys/prctl.h>

#include <algorithm>
#include <cstring>

namespace prefork::worker {
namespace {

char* arguments_begin = nullptr;
size_t arguments_bytes = 0;

}  // namespace

void RememberArguments(int argc, char** argv) {
  if (argc == 0) return;
  arguments_begin = argv[0];
  char* end = argv[0];
  for (int i = 0; i < argc && argv[i] == end; ++i) end = argv[i] + std::strlen(argv[i]) + 1;
  arguments_bytes = static_cast<size_t>(end - arguments_begin);
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
