#ifndef PREFORK_SERVER_MAIN_IDLE_WATCH_H_
#define PREFORK_SERVER_MAIN_IDLE_WATCH_H_

#include <cstdint>
#include <optional>

#include "absl/time/time.h"

namespace prefork::main {

// Decides when a daemon that is to end by itself has been idle for long enough, from samples of what
// it does. The daemon samples once per timeout, so it ends after one to two timeouts of idleness.
class IdleWatch {
 public:
  explicit IdleWatch(absl::Duration timeout) : timeout_(timeout) {}

  struct Sample {
    uint64_t sessions = 0;
    uint64_t unfinished_tasks = 0;
    // Grow with whatever a client does: events of the log, connections taken.
    uint64_t last_event = 0;
    uint64_t connections = 0;
  };
  // True: nothing has happened for the whole timeout. `now_ns` is monotonic.
  bool Expired(const Sample& sample, int64_t now_ns);

  // Between two samples.
  absl::Duration period() const { return timeout_; }

 private:
  const absl::Duration timeout_;
  Sample last_;
  std::optional<int64_t> idle_since_ns_;
};

}  // namespace prefork::main

#endif  // PREFORK_SERVER_MAIN_IDLE_WATCH_H_
