#include "tests/fault/strike_file.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "common/os/check.h"
#include "tests/server/worker/fault_plan.h"

namespace prefork::fault {

StrikeFile::StrikeFile() : directory_("/tmp/prefork-fault-XXXXXX") {
  PREFORK_CHECK(mkdtemp(directory_.data()) != nullptr);
  path_ = directory_ + "/plan";
}

StrikeFile::~StrikeFile() {
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

std::string StrikeFile::PoolSetting() const {
  return absl::StrCat("env = { ", worker_testing::kFaultFileVariable, " = \"", path_, "\" }\n");
}

void StrikeFile::Plan(const std::string& faults) {
  PREFORK_CHECK(HasStruck());
  // By rename: a worker never sees half a plan.
  const std::string draft = directory_ + "/draft";
  std::ofstream(draft) << faults << '\n';
  std::filesystem::rename(draft, path_);
}

bool StrikeFile::HasStruck() const { return !std::filesystem::exists(path_); }

}  // namespace prefork::fault
