#include "tests/fault/strike_file.h"

#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "common/os/check.h"

namespace prefork::fault {

std::optional<Strike> TakeStrike(const std::string& path, std::string_view step) {
  Strike plan;
  if (std::ifstream file(path); !(file >> plan.step >> plan.action)) {
    return std::nullopt;
  } else {
    file >> plan.argument;
  }
  if (plan.step != step || unlink(path.c_str()) != 0) return std::nullopt;
  return plan;
}

StrikeFile::StrikeFile() : directory_("/tmp/prefork-fault-XXXXXX") {
  PREFORK_CHECK(mkdtemp(directory_.data()) != nullptr);
  path_ = directory_ + "/plan";
}

StrikeFile::~StrikeFile() {
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

std::string StrikeFile::PoolSetting() const {
  return absl::StrCat("env = { ", kStrikeVariable, " = \"", path_, "\" }\n");
}

void StrikeFile::Plan(const std::string& step, const std::string& action,
                      const std::string& argument) {
  PREFORK_CHECK(HasStruck());
  // By rename: a worker never sees half a plan.
  const std::string draft = directory_ + "/draft";
  std::ofstream(draft) << step << ' ' << action << ' ' << argument << '\n';
  std::filesystem::rename(draft, path_);
}

bool StrikeFile::HasStruck() const { return !std::filesystem::exists(path_); }

}  // namespace prefork::fault
