#ifndef PREFORK_CLIENT_CLI_SIGNALS_H_
#define PREFORK_CLIENT_CLI_SIGNALS_H_

#include <functional>
#include <string>
#include <thread>

#include "absl/status/statusor.h"

namespace prefork::cli {

// A signal's number from "TERM", "SIGTERM", "term" or "15". INVALID_ARGUMENT with the nearest name.
absl::StatusOr<int> ParseSignal(const std::string& text);

// While it lives, SIGINT and SIGTERM call `on_signal` on a thread of its own instead of ending the
// program. REQUIRES: no other thread is running when it is made.
class InterruptWatch {
 public:
  explicit InterruptWatch(std::function<void(int signal)> on_signal);
  ~InterruptWatch();
  InterruptWatch(const InterruptWatch&) = delete;
  InterruptWatch& operator=(const InterruptWatch&) = delete;

 private:
  std::function<void(int)> on_signal_;
  std::thread thread_;
};

}  // namespace prefork::cli

#endif  // PREFORK_CLIENT_CLI_SIGNALS_H_
