#include "server/pool/restart_pacer.h"

#include <algorithm>

namespace prefork::pool {

void RestartPacer::StartFailed(int64_t now_ns) { Delay(now_ns, ++failed_starts_); }

bool RestartPacer::DiedAfterReady(int64_t ready_ns, int64_t now_ns, bool useful) {
  if (useful || absl::Nanoseconds(now_ns - ready_ns) >= options_.young) {
    Proven();
    return false;
  }
  if (++young_deaths_ <= options_.free_young_deaths) return false;
  Delay(now_ns, young_deaths_ - options_.free_young_deaths);
  return true;
}

void RestartPacer::Proven() {
  failed_starts_ = 0;
  young_deaths_ = 0;
  not_before_ns_ = 0;
}

void RestartPacer::Delay(int64_t now_ns, uint32_t failures) {
  absl::Duration delay = options_.first_delay;
  for (uint32_t i = 1; i < failures && delay < options_.max_delay; ++i) delay *= 2;
  not_before_ns_ = now_ns + absl::ToInt64Nanoseconds(std::min(delay, options_.max_delay));
}

}  // namespace prefork::pool
