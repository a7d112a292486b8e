#include "server/pool/slot.h"

#include <utility>

#include "common/os/check.h"

namespace prefork::pool {

void Slot::Attach(PooledWorker* worker) {
  PREFORK_CHECK(NeedsFork());
  (serving_ == nullptr ? serving_ : replacement_) = worker;
}

PooledWorker* Slot::Ready(PooledWorker* worker) {
  if (worker != replacement_ || worker == nullptr) return nullptr;
  renew_ = false;
  replacement_ = nullptr;
  return std::exchange(serving_, worker);
}

void Slot::Detach(PooledWorker* worker) {
  if (worker == replacement_) {
    replacement_ = nullptr;
  } else if (worker == serving_) {
    serving_ = std::exchange(replacement_, nullptr);
    renew_ = false;
  }
}

}  // namespace prefork::pool
