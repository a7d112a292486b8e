#ifndef PREFORK_TESTS_FAULT_STRIKE_FILE_H_
#define PREFORK_TESTS_FAULT_STRIKE_FILE_H_

#include <string>

namespace prefork::fault {

// The file by which a test tells one worker, whichever comes first, where to strike (see
// tests/server/worker/fault_plan.h). In a directory of its own, which goes with this object.
class StrikeFile {
 public:
  StrikeFile();
  ~StrikeFile();
  StrikeFile(const StrikeFile&) = delete;
  StrikeFile& operator=(const StrikeFile&) = delete;

  const std::string& path() const { return path_; }
  // A line of a pool's configuration that lets its workers see the file.
  std::string PoolSetting() const;
  // Plans one strike, "ACTION@STEP" or several of one step. The one before must have struck.
  void Plan(const std::string& faults);
  bool HasStruck() const;

 private:
  std::string directory_;
  std::string path_;
};

}  // namespace prefork::fault

#endif  // PREFORK_TESTS_FAULT_STRIKE_FILE_H_
