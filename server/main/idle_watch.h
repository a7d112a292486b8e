#ifndef PREFORK_SERVER_MAIN_IDLE_WATCH_H_
#define PREFORK_SERVER_MAIN_IDLE_WATCH_H_

#include <cstdint>
#include <optional>

#include "absl/time/time.h"

namespace prefork::main {

// Decides when a daemon that is to end by itself has been idle for long enough, from samples of what
// it does. The daemon samples a few times per timeout, so that nothing else has to be watched.
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
  // True: nothing has happened for the whole timeout.
  bool Expired(const Sample& sample, absl::Time now);

  // Between two samples.
  absl::Duration period() const { return timeout_ / 4; }

 private:
  const absl::Duration timeout_;
  Sample last_;
  std::optional<absl::Time> idle_since_;
};

}  // namespace prefork::main

#endif  // PREFORK_SERVER_MAIN_IDLE_WATCH_H_
