#include "tests/integration/other_users.h"

#include <filesystem>

namespace prefork::testing {

std::string ClosedDirectoryAbove(const std::string& path) {
  namespace fs = std::filesystem;
  for (fs::path above = fs::path(path).parent_path(); above != above.root_path();
       above = above.parent_path()) {
    const bool open = (fs::status(above).permissions() & fs::perms::others_exec) != fs::perms::none;
    if (!open) return above;
  }
  return {};
}

}  // namespace prefork::testing
