#include "server/main/idle_watch.h"

namespace prefork::main {

bool IdleWatch::Expired(const Sample& sample, int64_t now_ns) {
  const bool busy = sample.sessions != 0 || sample.unfinished_tasks != 0;
  const bool changed =
      sample.last_event != last_.last_event || sample.connections != last_.connections;
  last_ = sample;
  if (busy) {
    idle_since_ns_.reset();
    return false;
  }
  if (changed || !idle_since_ns_.has_value()) idle_since_ns_ = now_ns;
  return absl::Nanoseconds(now_ns - *idle_since_ns_) >= timeout_;
}

}  // namespace prefork::main
