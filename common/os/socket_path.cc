#include "common/os/socket_path.h"

#include "absl/strings/str_cat.h"

namespace prefork::os {

std::string DefaultSocketPath(uid_t uid, const char* xdg_runtime_dir) {
  if (uid == 0) return kSystemSocketPath;
  if (xdg_runtime_dir != nullptr && xdg_runtime_dir[0] == '/') {
    return absl::StrCat(xdg_runtime_dir, "/prefork/prefork.sock");
  }
  return absl::StrCat("/tmp/prefork-", uid, "/prefork.sock");
}

}  // namespace prefork::os
