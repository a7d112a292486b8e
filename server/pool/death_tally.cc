#include "server/pool/death_tally.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace prefork::pool {
namespace {
constexpr uint32_t kMinThreshold = 5;
}  // namespace

void DeathTally::SetPoolSize(uint32_t pool_size) {
  threshold_ = std::max(kMinThreshold, pool_size);
}

bool DeathTally::Failed(Kind kind, std::string reason) {
  ++failures_;
  last_kind_ = kind;
  const bool news = degraded_ ? reason != last_reason_ : failures_ >= threshold_;
  last_reason_ = std::move(reason);
  degraded_ = degraded_ || failures_ >= threshold_;
  return news;
}

bool DeathTally::Ready() { return last_kind_ == Kind::kStart && Proven(); }

bool DeathTally::Proven() {
  failures_ = 0;
  last_kind_ = Kind::kStart;
  return std::exchange(degraded_, false);
}

std::string DeathTally::reason() const {
  if (!degraded_) return "";
  return absl::StrCat(failures_,
                      last_kind_ == Kind::kStart
                          ? " starts of workers in a row failed; the last one: "
                          : " workers in a row died right after they were ready; the last one: ",
                      last_reason_);
}

}  // namespace prefork::pool
