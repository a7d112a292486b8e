#ifndef PREFORK_TESTS_INTEGRATION_CLI_RUN_H_
#define PREFORK_TESTS_INTEGRATION_CLI_RUN_H_

#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/os/fd.h"
#include "common/os/pidfd.h"

namespace prefork::testing {

// One run of a program with its outputs in files, so that no pipe can fill up.
class CliRun {
 public:
  struct Result {
    int code = -1;  // 128+N for a signal, -1 when it did not end in time
    std::string out;
    std::string err;
  };

  // Starts `argv`; `input` is its stdin. Environment: ours and `env`.
  CliRun(const std::vector<std::string>& argv, const std::string& input,
         const std::map<std::string, std::string>& env);
  ~CliRun();
  CliRun(const CliRun&) = delete;
  CliRun& operator=(const CliRun&) = delete;

  void Signal(int signal) const;
  std::string Out() const;  // so far
  std::string Err() const;
  Result Finish(absl::Duration patience = absl::Minutes(1));

 private:
  os::Fd out_;
  os::Fd err_;
  os::Pidfd process_;
  bool reaped_ = false;
};

}  // namespace prefork::testing

#endif  // PREFORK_TESTS_INTEGRATION_CLI_RUN_H_
