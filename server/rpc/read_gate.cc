#include "server/rpc/read_gate.h"

namespace prefork::rpc {

void ReadGate::AddMessage(size_t bytes) {
  absl::MutexLock lock(&mutex_);
  ++messages_;
  bytes_ += bytes;
}

bool ReadGate::MayRead() {
  absl::MutexLock lock(&mutex_);
  reader_waits_ = !OpenLocked();
  return !reader_waits_;
}

bool ReadGate::RemoveMessage(size_t bytes) {
  absl::MutexLock lock(&mutex_);
  --messages_;
  bytes_ -= bytes;
  return ReleaseReaderLocked();
}

bool ReadGate::SetPaused(bool paused) {
  absl::MutexLock lock(&mutex_);
  paused_ = paused;
  return ReleaseReaderLocked();
}

bool ReadGate::ReleaseReaderLocked() {
  if (!reader_waits_ || !OpenLocked()) return false;
  reader_waits_ = false;
  return true;
}

}  // namespace prefork::rpc
