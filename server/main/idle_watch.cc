#include "server/main/idle_watch.h"

namespace prefork::main {

bool IdleWatch::Expired(const Sample& sample, absl::Time now) {
  const bool active = sample.sessions != 0 || sample.unfinished_tasks != 0 ||
                      sample.last_event != last_.last_event ||
                      sample.connections != last_.connections;
  last_ = sample;
  if (active) {
    idle_since_.reset();
    return false;
  }
  if (!idle_since_.has_value()) idle_since_ = now;
  return now - *idle_since_ >= timeout_;
}

}  // namespace prefork::main
