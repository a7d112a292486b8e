#ifndef PREFORK_TESTS_FAULT_STRIKE_FILE_H_
#define PREFORK_TESTS_FAULT_STRIKE_FILE_H_

#include <optional>
#include <string>
#include <string_view>

// How a test tells the saboteur (saboteur.cc) in a worker where to strike: a file with "STEP ACTION
// [ARGUMENT]", named by an environment variable of the pool. The first process that reaches the
// step takes the file away and strikes; so each strikes once, in one process, when the test wants.
namespace prefork::fault {

inline constexpr char kStrikeVariable[] = "PREFORK_STRIKE_FILE";

struct Strike {
  std::string step;
  std::string action;
  std::string argument;
};

// What the file says for `step`; the file is gone then. Nothing when there is no file, it names
// another step, or another process was faster.
std::optional<Strike> TakeStrike(const std::string& path, std::string_view step);

// The test's end: a file in a directory of its own, which goes with this object.
class StrikeFile {
 public:
  StrikeFile();
  ~StrikeFile();
  StrikeFile(const StrikeFile&) = delete;
  StrikeFile& operator=(const StrikeFile&) = delete;

  const std::string& path() const { return path_; }
  // A line of a pool's configuration that lets its workers see the file.
  std::string PoolSetting() const;
  // Plans one strike. The one before must have struck.
  void Plan(const std::string& step, const std::string& action, const std::string& argument = "");
  bool HasStruck() const;

 private:
  std::string directory_;
  std::string path_;
};

}  // namespace prefork::fault

#endif  // PREFORK_TESTS_FAULT_STRIKE_FILE_H_
