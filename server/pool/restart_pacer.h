#ifndef PREFORK_SERVER_POOL_RESTART_PACER_H_
#define PREFORK_SERVER_POOL_RESTART_PACER_H_

#include <cstdint>

#include "absl/time/time.h"

namespace prefork::pool {

struct RestartPacerOptions {
  absl::Duration first_delay = absl::Seconds(1);
  absl::Duration max_delay = absl::Seconds(30);
  // A process that dies younger than this after READY, without having done anything, died young.
  absl::Duration young = absl::Seconds(1);
  // So many deaths in a row are taken for bad luck: something killed it, and it is replaced at
  // once.
  uint32_t free_young_deaths = 3;
};

// Says when something that keeps failing may be started again: at once after a success, otherwise
// after a delay that doubles. Pure: times are monotonic nanoseconds.
class RestartPacer {
 public:
  explicit RestartPacer(const RestartPacerOptions& options = {}) : options_(options) {}

  // It could not be started, or ended before it was ready.
  void StartFailed(int64_t now_ns);
  // It became ready. Forgets failed starts, not young deaths.
  void Started() { failed_starts_ = 0; }
  // It ended without being asked. Returns whether that is held against it and delays the next
  // start.
  bool DiedAfterReady(int64_t ready_ns, int64_t now_ns, bool useful);
  // It did something useful or is no longer young: forgets everything.
  void Proven();
  // Somebody asks for an immediate try.
  void Reset() { Proven(); }

  // Not to be started before; 0: at once.
  int64_t not_before_ns() const { return not_before_ns_; }
  // Should be told of Proven() once it is no longer young.
  bool on_probation() const { return young_deaths_ > 0; }
  absl::Duration young() const { return options_.young; }

 private:
  void Delay(int64_t now_ns, uint32_t failures);

  RestartPacerOptions options_;
  uint32_t failed_starts_ = 0;
  uint32_t young_deaths_ = 0;
  int64_t not_before_ns_ = 0;
};

}  // namespace prefork::pool

#endif  // PREFORK_SERVER_POOL_RESTART_PACER_H_
